// Reading what the page carries in compressed form.

/**
 * The text of a script element whose content is gzip in base64.
 * @param {string} id
 * @returns {Promise<string>}
 */
async function unpack(id) {
  const packed = atob((document.getElementById(id)?.textContent ?? "").trim());
  const bytes = new Uint8Array(packed.length);
  for (let at = 0; at < bytes.length; at++) bytes[at] = packed.charCodeAt(at);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

/** Runs plotly.js, which then is `window.Plotly`.  @param {Promise<string> | string} library its text */
async function loadPlotly(library) {
  if (window.Plotly) return;
  const script = document.createElement("script");
  script.textContent = await library;
  document.head.append(script);
}

/** Shows the static figures, which otherwise only readers without JavaScript see. */
function showStaticFigures() {
  for (const element of document.querySelectorAll("main noscript")) {
    const figures = document.createElement("div");
    figures.innerHTML = element.textContent ?? "";
    element.replaceWith(figures);
  }
}
