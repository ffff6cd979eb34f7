//! Numbers of bytes, as people write them.

/// A number of bytes: `65536`, `64K` or `64KiB`, `1M` or `1MiB`.
///
/// # Errors
/// Anything else, or more than memory can have; the message says what is allowed.
pub fn bytes(text: &str) -> Result<usize, String> {
    let unit = |text: &str| {
        for (names, unit) in [(["KiB", "K", "k"], 1 << 10), (["MiB", "M", "m"], 1 << 20)] {
            if let Some(digits) = names.iter().find_map(|name| text.strip_suffix(name)) {
                return (digits.to_owned(), unit);
            }
        }
        (text.to_owned(), 1)
    };
    let (digits, unit) = unit(text);
    let number = digits.parse::<usize>().ok().and_then(|number| number.checked_mul(unit));
    number.ok_or_else(|| format!("`{text}` is not a number of bytes, such as 65536, 64K, 64KiB or 1M"))
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn units_are_powers_of_1024_and_nothing_else_is_read() {
        for (text, number) in
            [("0", 0), ("65536", 65536), ("64K", 65536), ("8KiB", 8192), ("1M", 1 << 20), ("2MiB", 2 << 20)]
        {
            assert_eq!(bytes(text), Ok(number));
        }
        for text in ["", "K", "-1", "1.5K", "1KB", "1G", "18446744073709551615M"] {
            assert!(bytes(text).is_err_and(|error| error.contains(&format!("`{text}`"))), "{text}");
        }
    }
}
