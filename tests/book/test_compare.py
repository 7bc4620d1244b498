"""比べる規則：書かれた桁まで正確に一致する。"""

import pytest

from verified_book.compare import compare, diff, merge


@pytest.mark.parametrize(
    ("written", "actual"),
    [
        ("tensor([4., 4.])", "tensor([4., 4.])"),
        ("0.1235", "0.12349"),
        ("99.3", "99.29"),
        ("0.13", "0.125"),  # 四捨五入
        ("1" + "0" * 40 + ".00", "9" * 40 + ".995"),  # 桁が増えても、丸めの前に切らない
        ("99....", "99.24"),
        ("0.12...", "0.1299"),
        ("Epoch 4: loss 0.03..., Accuracy 99.... %", "Epoch 4: loss 0.0312, Accuracy 99.24 %"),
        ("a\n...\nb", "a\n1\n2\nb"),
        ("a   b  ", "a b"),
        ("\n\na\n", "a"),
        ("1.2e-05", "1.234e-05"),
        ("[1.0, ..., 3.0]", "[1.0, 2.0, 3.0]"),
        ("... 0.5", "x 0.4 y 0.52"),
        ("0.12s", "0.123s"),
        ("-0.12", "-0.123"),
        ("損失0.12です", "損失0.123です"),
        ("torch 2.15.0", "torch 2.15.0"),
    ],
)
def test_same(written: str, actual: str) -> None:
    assert compare(written, actual) is not None


@pytest.mark.parametrize(
    ("written", "actual"),
    [
        ("tensor([[5., 5.], [5., 5.]])", "tensor([[4., 4.], [4., 4.]])"),
        ("5.", "4."),
        ("16.", "15."),
        ("5.", "5.0"),
        ("4.", "4.5"),
        ("5", "15"),
        ("5", "5.0"),
        ("0.5001", "0.5000"),
        ("99.2", "99.29"),
        ("0.12", "0.125"),
        ("0.12", "9" * 40 + ".995"),
        ("1.2E-05", "1.2e-05"),
        ("0.50000", "0.5000"),  # 実行が示していない桁
        ("0.5", "-0.5"),
        ("-0.5", "0.5"),
        ("0.0", "-0.04"),
        ("tensor(-0.)", "tensor(0.)"),
        ("nan", "inf"),
        ("nan", "0.0"),
        ("inf", "-inf"),
        ("1.2e-05", "1.2e-06"),
        ("1.2e-05", "1.26e-05"),
        ("…", "abc"),
        ("a…", "abc"),
        ("99....", "98.24"),
        ("... 5 apples", "x 15 apples"),
        ("a\nb", "a b"),
        ("a b", "ab"),
        ("(3, 4)", "(3, 5)"),
        ("float32", "float64"),
        ("torch 2.14.0", "torch 2.15.0"),
        ("grad_fn=<SumBackward0>", "grad_fn=<PowBackward0>"),
        ("loss 4.0", "loss 14.0"),
        ("x0.12", "x0.123"),
        ("a ... c", "a b d"),
        ("", "a"),
        ("a", ""),
        ("1_000", "1000"),
        ("0.1 0.2", "0.1 0.3"),
    ],
)
def test_different(written: str, actual: str) -> None:
    assert compare(written, actual) is None


@pytest.mark.parametrize(
    ("written", "actual", "share"),
    [("abcd", "abcd", 1), ("a...", "abcd", 1 / 4), ("0.12", "0.123456", 4 / 8), ("...", "abcd", 0)],
)
def test_share_of_the_output_that_is_fixed(written: str, actual: str, share: float) -> None:
    assert compare(written, actual) == pytest.approx(share)


def test_diff_points_at_the_digit_that_moved() -> None:
    shown = diff("loss 0.51\nacc 99.2", "loss 0.51\nacc 99.4").splitlines()
    assert shown == ["  loss 0.51", "- acc 99.2", "+ acc 99.4", "      ^^^^"]


def test_diff_points_right_after_wide_characters() -> None:
    assert diff("損失 0.51", "損失 0.61").splitlines()[-1] == "       ^^^^"


def test_diff_shows_missing_and_extra_lines() -> None:
    assert diff("a\nb", "b\nc").splitlines() == ["- a", "  b", "+ c"]


@pytest.mark.parametrize(
    ("written", "actual", "merged"),
    [
        ("0.12 5.0", "0.1234 6.0", "0.12 6.0"),
        ("a 1\n...\nb 2 0.5", "a 2\n3\n4\nb 2 0.5123", "a 2\n...\nb 2 0.5"),
        ("loss 0.51 acc 99....", "loss 0.4999 acc 99.24", "loss 0.4999 acc 99...."),
        ("loss 0.51 acc 98....", "loss 0.5099 acc 99.24", "loss 0.51 acc 99.24"),
        ("a", "b\nc", "b\nc"),
        ("a\nb\nc", "a\nc", "a\nc"),
        ("[[5., 5.],\n [5., 5.]]", "[[4., 4.],\n [4., 4.]]", "[[4., 4.],\n [4., 4.]]"),
    ],
)
def test_merge_keeps_what_still_matches(written: str, actual: str, merged: str) -> None:
    assert merge(written, actual) == merged
    assert compare(merged, actual) is not None
