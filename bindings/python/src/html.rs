//! How notebooks show a model: its fields, its bytes, its vocabulary.

use std::fmt::Write;

use xsfm_convert::inspect;
use xsfm_runtime::LoadError;

use crate::scoring::Loaded;

/// A table of the fields, under a line of what the model costs.
pub(crate) fn model(loaded: &Loaded) -> Result<String, LoadError> {
    let report = inspect::inspect(&loaded.as_packed()?)?;
    let vocabulary: u64 = report.fields.iter().map(|field| field.vocabulary_bytes).sum();
    let mut html = String::new();
    let head = format!(
        "<div><strong>{}</strong>: {}, {} parameters, {} bytes, {vocabulary} of them the vocabulary</div>",
        escaped(&loaded.name),
        report.mode,
        report.parameters,
        report.file_bytes,
    );
    html.push_str(&head);
    html.push_str(
        "<table><thead><tr><th>field</th><th>features</th><th>bag</th><th>embedding</th><th>numbers</th>\
         <th>vocabulary bytes</th></tr></thead><tbody>",
    );
    for field in &report.fields {
        let bag = if field.bag { "yes" } else { "" };
        // Writing to a string does not fail.
        let _ = write!(
            html,
            "<tr><td>{}</td><td>{}</td><td>{bag}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            escaped(&field.name),
            field.features,
            escaped(&field.embedding),
            field.parameters,
            field.vocabulary_bytes,
        );
    }
    html.push_str("</tbody></table>");
    Ok(html)
}

/// Text that is no markup.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
