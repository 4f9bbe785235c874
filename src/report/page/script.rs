//! What the page needs besides HTML to be interactive: its script, plotly.js, and the data, all in the page itself.
//!
//! plotly.js comes with the crate `plotly` and is 4.7 MB of text. It and the data are compressed by gzip and written in
//! base64; the browser unpacks them. Without JavaScript, or in a browser that cannot unpack them, readers see the static
//! figures.

use super::data::PageData;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use maud::{Markup, PreEscaped, html};
use std::io::Write;
use std::sync::LazyLock;

const FILES: [&str; 8] = [
    include_str!("script/unpack.js"),
    include_str!("script/state.js"),
    include_str!("script/figures.js"),
    include_str!("script/card.js"),
    include_str!("script/controls.js"),
    include_str!("script/sweep.js"),
    include_str!("script/texts.js"),
    include_str!("script/page.js"),
];

/// plotly.js, compressed.
static PLOTLY: LazyLock<String> = LazyLock::new(|| packed(plotly_js().as_bytes()));

/// plotly.js without MathJax: the first of the two scripts that the crate embeds.
fn plotly_js() -> String {
    let both = plotly::Plot::offline_js_sources();
    let after_tag = both.split_once('>').map_or("", |(_, rest)| rest);
    after_tag.split("</script>").next().unwrap_or_default().to_owned()
}

/// The elements for the end of the body.
pub(super) fn elements(data: &PageData) -> Markup {
    let data = serde_json::to_vec(data).unwrap_or_default();
    html! {
        script id="genloss-data" type="text/plain" { (PreEscaped(packed(&data))) }
        script id="genloss-plotly" type="text/plain" { (PreEscaped(&*PLOTLY)) }
        script { (PreEscaped(format!("(() => {{\n\"use strict\";\n{}}})();", FILES.join("\n")))) }
    }
}

/// gzip, in base64. Writing to memory cannot fail.
fn packed(bytes: &[u8]) -> String {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    STANDARD.encode(written.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_plotly_without_mathjax() {
        let library = plotly_js();
        assert!(library.contains("plotly.js v") && library.contains("window.Plotly"));
        assert!(!library.contains("MathJax=") && !library.contains("</script"));
    }

    #[test]
    fn no_script_ends_before_its_end() {
        assert!(FILES.iter().all(|file| !file.contains("</script") && !file.contains("<!--")));
    }
}
