//! The HTML document around a page: head, style and escapes, the same for reports and for `genloss watch`.

use crate::terminal::printable;
use maud::{DOCTYPE, Markup, PreEscaped, html};

/// A whole page. Control and direction characters, which a corpus or a name may contain, are shown as escapes such as
/// `\u{202e}`.
pub(crate) fn document(title: &str, css: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · genloss" }
                style { (PreEscaped(css)) }
            }
            body { (body) }
        }
    };
    printable(&page.into_string()).into_owned()
}
