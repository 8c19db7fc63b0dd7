"use strict";
// What the toys share: a canvas that fits its place and its reader's settings, frames, and answers, computed or recorded.
(function () {
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const recorded = window.SpanaxRecorded || null;

  function colours() {
    const style = getComputedStyle(document.documentElement);
    const names = ["paper", "card", "ink", "quiet", "line", "edge", "accent", "good", "bad", "doubt"];
    return Object.fromEntries(names.map((name) => [name, style.getPropertyValue("--" + name).trim()]));
  }

  // A canvas of `height(width)` CSS pixels that calls `draw(context, width, height, colours)` where something has changed.
  // `play(step)` draws frame by frame for as long as `step(seconds since it began)` says true.
  function stage(canvas, height, draw) {
    const context = canvas.getContext("2d");
    const size = { width: 0, height: 0 };
    let look = colours();
    let waiting = 0;
    let step = null;
    let began = 0;
    const self = { frames: 0, size: size, draw: again, play: play, place: place };

    function fit() {
      const width = Math.max(1, Math.round(canvas.clientWidth));
      const ratio = window.devicePixelRatio || 1;
      // Of its own height, which is set below, it is told as well.
      if (width === size.width && canvas.width === Math.round(width * ratio)) return false;
      size.width = width;
      size.height = Math.round(height(width));
      canvas.width = Math.round(size.width * ratio);
      canvas.height = Math.round(size.height * ratio);
      canvas.style.height = size.height + "px";
      context.setTransform(ratio, 0, 0, ratio, 0, 0);
      return true;
    }

    function paint() {
      context.clearRect(0, 0, size.width, size.height);
      context.font = "14px system-ui, sans-serif";
      draw(context, size.width, size.height, look);
      self.frames += 1;
    }

    function frame(now) {
      waiting = 0;
      if (step) {
        if (began === null) began = now;
        if (!step((now - began) / 1000)) step = null;
      }
      paint();
      if (step) again();
    }

    function again() {
      if (!waiting) waiting = requestAnimationFrame(frame);
    }

    function play(next) {
      step = next;
      began = null;
      again();
    }

    // Where a pointer is, in pixels of the canvas.
    function place(event) {
      const box = canvas.getBoundingClientRect();
      return { x: event.clientX - box.left - canvas.clientLeft, y: event.clientY - box.top - canvas.clientTop };
    }

    // A canvas that changes its size is empty: it is drawn before that is seen.
    new ResizeObserver(() => fit() && paint()).observe(canvas);
    dark.addEventListener("change", () => {
      look = colours();
      again();
    });
    fit();
    again();
    return self;
  }

  // begin(place) says whether it takes the pointer; then come move(place) and end(place), of mouse, pen and finger alike.
  function drags(canvas, stage, begin, move, end) {
    let pointer = null;
    canvas.addEventListener("pointerdown", (event) => {
      if (pointer !== null || event.button !== 0 || !begin(stage.place(event), event)) return;
      pointer = event.pointerId;
      canvas.setPointerCapture(pointer);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (event.pointerId === pointer) move(stage.place(event), event);
    });
    const finish = (event) => {
      if (event.pointerId !== pointer) return;
      pointer = null;
      // Where the page takes a finger over, to scroll, what it did until then counts.
      end(stage.place(event), event);
    };
    canvas.addEventListener("pointerup", finish);
    canvas.addEventListener("pointercancel", finish);
  }

  // Of a copy in files: the recorded answer whose question is nearest, axis by axis; `asked` says which that was.
  function nearest(path, body) {
    const there = recorded[path];
    const asked = {};
    let index = 0;
    for (const [name, values] of there.axes) {
      let best = values.indexOf(body[name]);
      if (best < 0) {
        const far = values.map((value) => Math.abs(value - body[name]));
        best = far.indexOf(Math.min(...far));
      }
      asked[name] = values[best];
      index = index * values.length + best;
    }
    return Object.assign({ asked: asked }, there.answers[index]);
  }

  function post(path, body) {
    return recorded ? Promise.resolve(nearest(path, body)) : Spanax.post(path, body);
  }

  // Questions that follow each other faster than answers: one is on its way, and of those that wait the last counts. Each goes
  // to `path`, or to another one by the same queue: an earlier question's answer never comes last.
  function asker(path, onAnswer) {
    let busy = false;
    let next = null;
    async function ask(body, other) {
      if (busy) {
        next = [body, other];
        return;
      }
      busy = true;
      // The first answer of its kind is compiled, which takes seconds.
      const slow = setTimeout(() => say("Computing."), 500);
      try {
        const answer = await post(other || path, body);
        problem("");
        if (!next) onAnswer(answer, body);
      } catch (error) {
        problem(error.message);
      }
      clearTimeout(slow);
      busy = false;
      if (next) {
        const question = next;
        next = null;
        ask(...question);
      }
    }
    return ask;
  }

  const byId = (id) => document.getElementById(id);

  function problem(text) {
    const note = byId("problem");
    if (note.textContent !== text) note.textContent = text;
    note.hidden = !text;
  }

  // What is heard by who does not see the canvas, when it has come to rest: not at each of a hundred steps of a drag.
  let saying = 0;
  function say(text) {
    clearTimeout(saying);
    saying = setTimeout(() => {
      if (byId("status").textContent !== text) byId("status").textContent = text;
    }, 150);
  }

  // A range and the text beside it; `shows(value)` is also what a screen reader says.
  function slider(id, shows, onInput, onChange) {
    const input = byId(id);
    const output = byId(id + "-shown");
    function show() {
      output.textContent = shows(Number(input.value));
      input.setAttribute("aria-valuetext", output.textContent);
    }
    input.addEventListener("input", () => {
      show();
      onInput(Number(input.value));
    });
    if (onChange) input.addEventListener("change", () => onChange(Number(input.value)));
    show();
    return {
      get value() {
        return Number(input.value);
      },
      set value(to) {
        input.value = to;
        show();
      },
    };
  }

  function fill(entries) {
    for (const [id, text] of Object.entries(entries)) byId(id).textContent = text;
  }

  function arrow(context, from, to, colour, width) {
    const angle = Math.atan2(to.y - from.y, to.x - from.x);
    const head = 3.2 * width;
    context.strokeStyle = context.fillStyle = colour;
    context.lineWidth = width;
    context.beginPath();
    context.moveTo(from.x, from.y);
    context.lineTo(to.x - head * 0.8 * Math.cos(angle), to.y - head * 0.8 * Math.sin(angle));
    context.stroke();
    context.beginPath();
    context.moveTo(to.x, to.y);
    context.lineTo(to.x - head * Math.cos(angle - 0.45), to.y - head * Math.sin(angle - 0.45));
    context.lineTo(to.x - head * Math.cos(angle + 0.45), to.y - head * Math.sin(angle + 0.45));
    context.fill();
  }

  const signed = (value, digits) => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(digits);

  window.SpanaxToys = {
    arrow: arrow,
    asker: asker,
    byId: byId,
    drags: drags,
    fill: fill,
    isRecorded: Boolean(recorded),
    isStill: () => still.matches,
    problem: problem,
    say: say,
    signed: signed,
    slider: slider,
    stage: stage,
  };
})();
