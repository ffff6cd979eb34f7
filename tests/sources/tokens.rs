//! Words, and what lies between them, without comments and literals.

/// The tokens of a source: words, `::`, and single signs.
pub(crate) fn tokens(source: &str) -> Vec<String> {
    let mut rest = source;
    let mut tokens = Vec::new();
    while let Some(first) = rest.chars().next() {
        let len = if let Some(len) = ignored(rest) {
            len
        } else if is_word(first) {
            let len = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            tokens.push(rest[..len].to_owned());
            len
        } else {
            let sign = if rest.starts_with("::") { "::" } else { &rest[..first.len_utf8()] };
            if !first.is_whitespace() {
                tokens.push(sign.to_owned());
            }
            sign.len()
        };
        rest = &rest[len..];
    }
    tokens
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The length of a comment or a literal at the start of `text`.
fn ignored(text: &str) -> Option<usize> {
    let until = |end: &str, from: usize| text[from..].find(end).map_or(text.len(), |at| from + at + end.len());
    if text.starts_with("//") {
        return Some(until("\n", 2));
    }
    if text.starts_with("/*") {
        return Some(until("*/", 2));
    }
    let prefix = ["br", "cr", "r", "b", "c"].into_iter().find(|prefix| {
        text.strip_prefix(prefix)
            .is_some_and(|rest| rest.starts_with('"') || (prefix.ends_with('r') && rest.starts_with("#")))
    });
    let quoted = &text[prefix.map_or(0, str::len)..];
    if let Some(prefix) = prefix.filter(|prefix| prefix.ends_with('r')) {
        let hashes = quoted.len() - quoted.trim_start_matches('#').len();
        let is_string = quoted[hashes..].starts_with('"');
        return is_string.then(|| until(&format!("\"{}", "#".repeat(hashes)), prefix.len() + hashes + 1));
    }
    let skipped = |quote: char| {
        let mut escaped = false;
        let end = quoted[1..].find(|c| {
            let ends = c == quote && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        end.map(|end| text.len() - quoted.len() + end + 2)
    };
    if quoted.starts_with('"') {
        return Some(skipped('"').unwrap_or(text.len()));
    }
    // A character, or a lifetime.
    let mut chars = text.chars();
    match (chars.next(), chars.next(), chars.next()) {
        (Some('\''), Some('\\'), _) | (Some('\''), Some(_), Some('\'')) => skipped('\''),
        (Some('\''), ..) => Some(1),
        _ => None,
    }
}
