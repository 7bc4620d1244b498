"""Pythonのコードに植える誤り：演算子、定数、引数。セルにもsrc/にも同じものを使う。

場所は構文木から取り、一つの場所に一つの誤りを植える（引数は一つずつ消す）。
説明の文字列と型の注釈は、変えても動作が変わらないので除く。
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator

from verified_book.mutants.mutant import line_starts

BINARY = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "*"),
    ast.Mod: ("%", "*"),
    ast.Pow: ("**", "*"),
    ast.MatMult: ("@", "*"),
    ast.BitAnd: ("&", "|"),
    ast.BitOr: ("|", "&"),
    ast.BitXor: ("^", "&"),
    ast.LShift: ("<<", ">>"),
    ast.RShift: (">>", "<<"),
}
COMPARE = {
    ast.Eq: (r"==", "!="),
    ast.NotEq: (r"!=", "=="),
    ast.Lt: (r"<", "<="),
    ast.LtE: (r"<=", "<"),
    ast.Gt: (r">", ">="),
    ast.GtE: (r">=", ">"),
    ast.Is: (r"is", "is not"),
    ast.IsNot: (r"is\s+not", "is"),
    ast.In: (r"in", "not in"),
    ast.NotIn: (r"not\s+in", "in"),
}
Edit = tuple[str, int, int, str]  # 種類、始まり、終わり、置き換える文字


def code_edits(source: str) -> list[Edit]:
    """``source`` に植えられる誤りを、場所の順に返す。構文が壊れるものと、変わらないものは除く。

    Examples
    --------
    >>> code_edits("a + 1")
    [('operator', 2, 3, '-'), ('constant', 4, 5, '2')]
    >>> code_edits("f(x)")
    [('argument', 2, 3, '')]
    """
    plain = re.sub(r"^[ \t]*[%!].*$", lambda m: "#" * len(m[0]), source, flags=re.MULTILINE)
    tree = ast.parse(plain)
    original = ast.dump(tree)
    places = _Places(plain, tree)
    edits = []
    for edit in sorted({*places.operators(), *places.constants(), *places.arguments()}, key=_place):
        _, start, end, after = edit
        try:
            mutated = ast.dump(ast.parse(plain[:start] + after + plain[end:]))
        except (SyntaxError, ValueError):
            continue
        if mutated != original:
            edits.append(edit)
    return edits


def _place(edit: Edit) -> tuple[int, int, str, str]:
    return edit[1], edit[2], edit[0], edit[3]


class _Places:
    def __init__(self, source: str, tree: ast.AST) -> None:
        self.source, self.starts = source, line_starts(source)
        self.lines = source.splitlines(keepends=True)
        silent = list(_silent(tree))
        self.silent = [self.span(node) for node in silent]
        inside = {id(child) for node in silent for child in ast.walk(node)}
        self.nodes = [n for n in ast.walk(tree) if id(n) not in inside and self.exact(n)]

    def at(self, line: int, column: int) -> int:
        """構文木の行とUTF-8の桁を、文字の位置にする。"""
        return self.starts[line - 1] + len(self.lines[line - 1].encode()[:column].decode())

    def span(self, node: ast.AST) -> tuple[int, int]:
        return (
            self.at(node.lineno, node.col_offset),
            self.at(node.end_lineno, node.end_col_offset),
        )

    def exact(self, node: ast.AST) -> bool:
        """Python 3.11は、f文字列の中の式に誤った位置を付けることがある。"""
        if not isinstance(node, ast.expr):
            return True
        try:
            start, end = self.span(node)
            text = self.source[start:end]
            return ast.dump(ast.parse(f"({text})", mode="eval").body) == ast.dump(node)
        except (SyntaxError, ValueError, IndexError, UnicodeDecodeError):
            return isinstance(node, ast.GeneratorExp | ast.Starred) or hasattr(node, "ctx")

    def operators(self) -> Iterator[Edit]:
        for node in self.nodes:
            if isinstance(node, ast.BinOp):
                yield from self._between(node.left, node.right, *BINARY[type(node.op)])
            elif isinstance(node, ast.AugAssign):
                old, new = BINARY[type(node.op)]
                yield from self._between(node.target, node.value, f"{old}=", f"{new}=")
            elif isinstance(node, ast.BoolOp):
                old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
                for left, right in zip(node.values, node.values[1:], strict=False):
                    yield from self._between(left, right, old, new)
            elif isinstance(node, ast.Compare):
                sides = [node.left, *node.comparators]
                for left, right, op in zip(sides, sides[1:], node.ops, strict=False):
                    pattern, new = COMPARE[type(op)]
                    yield from self._between(left, right, pattern, new, regex=True)
            elif isinstance(node, ast.UnaryOp):
                start, operand = self.span(node)[0], self.span(node.operand)[0]
                found = re.match(r"not\b\s*|[-+~]", self.source[start:operand])
                yield "operator", start, start + found.end(), ""

    def _between(
        self, left: ast.AST, right: ast.AST, old: str, new: str, *, regex: bool = False
    ) -> Iterator[Edit]:
        end, start = self.span(left)[1], self.span(right)[0]
        found = re.search(old if regex else re.escape(old), self.source[end:start])
        if found:
            yield "operator", end + found.start(), end + found.end(), new

    def constants(self) -> Iterator[Edit]:
        for node in self.nodes:
            if not isinstance(node, ast.Constant) or isinstance(node.value, str | bytes):
                continue
            value = node.value
            if value is Ellipsis:
                continue
            if isinstance(value, bool) or value is None:
                after = str(not value) if value is not None else "0"
            else:
                after = repr(value + 1 if value + 1 != value else value * 2)
            yield "constant", *self.span(node), after
        for start, end in self._strings():
            if not any(first <= start < last for first, last in self.silent):
                for at, stop, after in string_edits(self.source[start:end]):
                    yield "constant", start + at, start + stop, after

    def _strings(self) -> Iterator[tuple[int, int]]:
        depth, first = 0, 0
        for token in tokenize.generate_tokens(io.StringIO(self.source).readline):
            start = self.starts[token.start[0] - 1] + token.start[1]
            end = self.starts[token.end[0] - 1] + token.end[1]
            name = tokenize.tok_name[token.type]
            if name == "FSTRING_START":  # Python 3.12から、f文字列は字句に分かれる
                first, depth = (start if depth == 0 else first), depth + 1
            elif name == "FSTRING_END":
                depth -= 1
                if depth == 0:
                    yield first, end
            elif name == "STRING" and depth == 0:
                yield start, end

    def arguments(self) -> Iterator[Edit]:
        for node in self.nodes:
            if isinstance(node, ast.Call):
                spans = sorted(self._argument(node, a) for a in [*node.args, *node.keywords])
                for i, (start, end) in enumerate(spans):
                    if i + 1 < len(spans):
                        end = spans[i + 1][0]
                    elif i:
                        start = spans[i - 1][1]
                    yield "argument", start, end, ""

    def _argument(self, call: ast.Call, argument: ast.AST) -> tuple[int, int]:
        """引数の範囲。引数を囲む括弧は含み、呼び出しの括弧は含まない。"""
        opening = self.source.index("(", self.span(call.func)[1])
        start, end = self.span(argument)
        if start == opening:  # sum(x for x in y) の式は、呼び出しの括弧まで含む
            return start + 1, end - 1
        while True:
            left = len(self.source[:start].rstrip()) - 1
            right = end + len(self.source[end:]) - len(self.source[end:].lstrip())
            if left <= opening or self.source[left] != "(" or self.source[right : right + 1] != ")":
                return start, end
            start, end = left, right + 1


def _silent(tree: ast.AST) -> Iterator[ast.AST]:
    """変えても動作の変わらない部分：説明の文字列と、型の注釈。"""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            if isinstance(node.value.value, str):
                yield node.value
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.returns:
            yield node.returns
        elif isinstance(node, ast.arg | ast.AnnAssign) and node.annotation:
            yield node.annotation


def string_edits(text: str) -> Iterator[tuple[int, int, str]]:
    """文字列の字句の、文字の並びごとに一つ。f文字列では、書式の数字を一つ減らす。

    減らすのは、桁を増やしても、期待値の規則（書かれた桁まで一致する）では誤りでないため。

    Examples
    --------
    >>> list(string_edits("'a'")), list(string_edits("f'{x:.2f}秒'"))
    ([(1, 1, 'XX')], [(6, 7, '1'), (9, 9, 'XX')])
    """
    prefix, quote = re.match(r"(?s)(\w*)('''|\"\"\"|'|\")", text).groups()
    first, last = len(prefix) + len(quote), len(text) - len(quote)
    if "f" not in prefix.lower():
        yield first, first, "XX"
        return
    position, depth, literal, spec = first, 0, False, False
    while position < last:
        two, one = text[position : position + 2], text[position]
        if depth == 0 and (two in ("{{", "}}") or one != "{"):
            if not literal:
                yield position, position, "XX"
            literal, position = True, position + (2 if two in ("{{", "}}") else 1)
            continue
        if spec and depth == 1 and one.isdigit():
            yield position, position + 1, str(int(one) - 1 if int(one) else 1)
        depth += (one in "{[(") - (one in "}])")
        spec = depth > 0 and (spec or (depth == 1 and one == ":"))
        literal, position = False, position + 1
