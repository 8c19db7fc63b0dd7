"use strict";
// What the pages ask of the server. A plain script, so that it also runs from a file: `Spanax.served` is false there.
(function () {
  const served = location.protocol === "http:" || location.protocol === "https:";

  async function ask(path, body, signal) {
    const answer = await fetch("../api/" + path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
      signal: signal,
    });
    if (answer.ok) return answer;
    let problem = "the server answered " + answer.status;
    try {
      problem = (await answer.json()).error || problem;
    } catch (_) {
      // No JSON: the status is all there is to say.
    }
    throw new Error(problem);
  }

  // The answer of an action: Spanax.post("trebuchet/shoot", {wind: 3}).then(shot => ...)
  async function post(path, body, signal) {
    return (await ask(path, body, signal)).json();
  }

  // Each line of a training, as it comes; `signal` of an AbortController ends it, on the server as well.
  async function stream(path, body, onItem, signal) {
    const reader = (await ask(path, body, signal)).body.getReader();
    const decoder = new TextDecoder();
    let rest = "";
    for (;;) {
      const part = await reader.read();
      rest += decoder.decode(part.value || new Uint8Array(), { stream: !part.done });
      const lines = rest.split("\n");
      rest = lines.pop();
      for (const line of lines) {
        if (!line) continue;
        const item = JSON.parse(line);
        if (item.error) throw new Error(item.error);
        onItem(item);
      }
      if (part.done) return;
    }
  }

  // A number for people: "3.14", "1,234", "-" where there is none.
  function shown(value, digits) {
    if (value === null || value === undefined || Number.isNaN(value)) return "-";
    return Number(value).toLocaleString("en", { maximumFractionDigits: digits === undefined ? 2 : digits });
  }

  window.Spanax = { served: served, post: post, stream: stream, shown: shown };
})();
