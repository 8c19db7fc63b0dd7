"use strict";
// The bench: sliders in, bias and variance of each estimator out, in a picture and in a table.
(function () {
  const toys = window.SpanaxToys;
  const byId = toys.byId;
  const canvas = byId("stage");
  const LEAST = 1e-6; // the left end of the logarithmic axis; what is less is drawn there
  const MOST = 10;

  let rows = []; // as they are shown: on their way to `goal`
  let goal = [];
  let reach = 0.1; // of the bias's axis, to both sides

  const view = toys.stage(canvas, (width) => (width < 520 ? 540 : 330), draw);
  const theta = toys.slider("theta", (value) => value.toFixed(2), measure);
  const temperature = toys.slider("temperature", (value) => value.toFixed(1), measure);
  const constant = toys.slider("constant", (value) => value.toFixed(2), measure);
  const ask = toys.asker("bench/measure", show);

  function measure() {
    byId("constant").disabled = byId("baseline").value !== "constant";
    ask({
      theta: theta.value,
      samples: Number(byId("samples").value),
      baseline: byId("baseline").value,
      constant: constant.value,
      temperature: temperature.value,
    });
  }

  // Four standard errors: of the hundreds of settings that a visitor tries hardly one is called biased by chance.
  function isBiased(row) {
    return Math.abs(row.bias) > Math.max(1e-6, 4 * row.bias_error);
  }

  function show(answer) {
    goal = answer.rows;
    reach = Math.max(...goal.map((row) => Math.abs(row.bias) + 2 * row.bias_error), 0.02) * 1.15;
    if (rows.length !== goal.length || toys.isStill()) rows = goal;
    const from = rows;
    view.play((seconds) => {
      // A fifth of a second from the old figures to the new ones: the eye follows what moves where.
      const part = Math.min(1, seconds / 0.2);
      rows = part < 1 ? goal.map((row, i) => blend(from[i], row, part)) : goal;
      return part < 1;
    });
    fillTable(answer.truth);
    if (toys.isRecorded) {
      const there = answer.asked;
      byId("recorded").textContent =
        "A recording: the nearest recorded setting, theta " + there.theta + ", " + there.samples + " samples, baseline " +
        there.baseline + (there.baseline === "constant" ? " " + there.constant : "") + ", temperature " + there.temperature + ".";
    }
  }

  function blend(a, b, part) {
    const mixed = { name: b.name };
    for (const name of ["bias", "bias_error", "variance", "variance_error"]) mixed[name] = a[name] + part * (b[name] - a[name]);
    return mixed;
  }

  function small(value) {
    const size = Math.abs(value);
    const text = size < 1e-7 ? "0" : size < 1e-5 ? size.toExponential(1) : size.toPrecision(size < 1e-3 ? 2 : 3);
    return (value < 0 && text !== "0" ? "−" : "") + text;
  }

  function fillTable(truth) {
    const body = byId("rows");
    body.replaceChildren(
      ...goal.map((row) => {
        const line = document.createElement("tr");
        const name = document.createElement("th");
        name.scope = "row";
        name.textContent = row.name;
        line.append(name);
        for (const field of ["bias", "bias_error", "variance", "variance_error"]) {
          const cell = document.createElement("td");
          cell.className = "figure";
          cell.textContent = small(row[field]);
          line.append(cell);
        }
        const verdict = document.createElement("td");
        verdict.textContent = isBiased(row) ? "biased" : "no bias found";
        verdict.className = isBiased(row) ? "bad" : "good";
        line.append(verdict);
        return line;
      }),
    );
    const biased = goal.filter(isBiased).map((row) => row.name);
    const others = goal.filter((row) => !isBiased(row) && row.name !== "Enumerate");
    others.sort((a, b) => a.variance - b.variance);
    const least = others.length ? " Least variance of the others that draw: " + others[0].name + ", " + small(others[0].variance) + "." : "";
    toys.say("True gradient " + truth.toFixed(4) + ". Biased: " + (biased.join(", ") || "none found") + "." + least);
  }

  // --- the picture: a line for each estimator, its bias on one axis and its variance on another

  function draw(context, width, height, look) {
    if (!rows.length) return;
    const stacked = width < 520;
    const names = stacked ? 0 : 118;
    const half = (width - names) / 2;
    const tall = stacked ? height / 2 : height;
    const bias = { left: names + 14, right: stacked ? width - 14 : names + half - 26, top: 34, bottom: tall - 30 };
    const scatter = stacked
      ? { left: 14, right: width - 14, top: tall + 34, bottom: height - 30 }
      : { left: names + half + 26, right: width - 18, top: 34, bottom: tall - 30 };
    const line = (box, i) => box.top + ((i + 0.7) / rows.length) * (box.bottom - box.top);
    drawAxis(context, bias, "bias", biasTicks(bias), look);
    drawAxis(context, scatter, "variance, logarithmic", varianceTicks(scatter), look);
    rows.forEach((row, i) => {
      const colour = isBiased(row) ? look.bad : look.accent;
      const mark = isBiased(row) ? diamond : disc;
      if (stacked) {
        label(context, row.name, bias.left, line(bias, i) - 14, look);
        label(context, row.name, scatter.left, line(scatter, i) - 14, look);
      } else label(context, row.name, 10, line(bias, i), look);
      const x = (value) => middle(bias) + (value / reach) * ((bias.right - bias.left) / 2);
      bar(context, x(row.bias - 2 * row.bias_error), x(row.bias + 2 * row.bias_error), line(bias, i), colour);
      mark(context, x(row.bias), line(bias, i), colour);
      const v = (value) => varianceAt(scatter, value);
      bar(context, v(row.variance - 2 * row.variance_error), v(row.variance + 2 * row.variance_error), line(scatter, i), colour);
      mark(context, v(row.variance), line(scatter, i), colour);
    });
  }

  const middle = (box) => (box.left + box.right) / 2;

  function varianceAt(box, value) {
    const part = Math.log10(Math.max(LEAST, value) / LEAST) / Math.log10(MOST / LEAST);
    return box.left + part * (box.right - box.left);
  }

  function biasTicks(box) {
    const step = 10 ** Math.floor(Math.log10(reach));
    const unit = reach / step > 5 ? 4 * step : reach / step > 2 ? 2 * step : step;
    return [-unit, 0, unit].map((value) => ({
      x: middle(box) + (value / reach) * ((box.right - box.left) / 2),
      text: value ? toys.signed(value, Math.max(0, -Math.floor(Math.log10(unit)))) : "0",
    }));
  }

  function varianceTicks(box) {
    const texts = { "1e-6": "0", "1e-4": "0.0001", "1e-2": "0.01", 1: "1" };
    return Object.entries(texts).map(([value, text]) => ({ x: varianceAt(box, Number(value)), text: text }));
  }

  function drawAxis(context, box, title, ticks, look) {
    context.font = "600 14px system-ui, sans-serif";
    context.fillStyle = look.ink;
    context.textAlign = "left";
    context.textBaseline = "alphabetic";
    context.fillText(title, box.left, box.top - 14);
    context.font = "13px system-ui, sans-serif";
    context.strokeStyle = look.line;
    context.fillStyle = look.quiet;
    context.lineWidth = 1;
    context.textAlign = "center";
    context.textBaseline = "top";
    for (const tick of ticks) {
      context.beginPath();
      context.moveTo(tick.x, box.top);
      context.lineTo(tick.x, box.bottom + 4);
      context.stroke();
      context.fillText(tick.text, tick.x, box.bottom + 8);
    }
  }

  function label(context, text, x, y, look) {
    context.fillStyle = look.ink;
    context.textAlign = "left";
    context.textBaseline = "middle";
    context.font = "14px system-ui, sans-serif";
    context.fillText(text, x, y);
  }

  function bar(context, from, to, y, colour) {
    context.strokeStyle = colour;
    context.lineWidth = 2.5;
    context.beginPath();
    context.moveTo(from, y);
    context.lineTo(to, y);
    context.stroke();
  }

  function disc(context, x, y, colour) {
    context.fillStyle = colour;
    context.beginPath();
    context.arc(x, y, 5.5, 0, 2 * Math.PI);
    context.fill();
  }

  // Told apart by its shape, and not by its colour alone.
  function diamond(context, x, y, colour) {
    context.fillStyle = colour;
    context.beginPath();
    context.moveTo(x - 7.5, y);
    context.lineTo(x, y - 7.5);
    context.lineTo(x + 7.5, y);
    context.lineTo(x, y + 7.5);
    context.fill();
  }

  byId("samples").addEventListener("change", measure);
  byId("baseline").addEventListener("change", measure);
  window.SpanaxToy = { view: view, rows: () => goal };
  measure();
})();
