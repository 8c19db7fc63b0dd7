"use strict";
// The cart's page: plays what the server says comes next, and asks anew from the present state at each push.
(function () {
  const toys = window.SpanaxToys;
  const byId = toys.byId;
  const canvas = byId("stage");
  const FULL = 4; // rad/s: the hardest push
  const SIDE = 2.9; // metres of the rail to each side

  let path = null; // {dt, states, pushes, ended}
  let began = 0; // milliseconds, where the path starts
  let asking = false; // for what comes after the path
  let stood = 0; // when it was stood up
  let lean = 0;
  let drag = null;
  let knock = null; // the push that is shown for a moment
  let paused = null; // when, in milliseconds
  let late = 0; // how long it was paused, all together
  let version = 0; // of the path: answers to questions about an older one are of no use

  const view = toys.stage(canvas, (width) => Math.max(220, width * 0.42), draw);
  const strength = toys.slider("strength", (value) => value.toFixed(2) + " rad/s", () => {});
  // Of pushes that wait for each other the last counts.
  const ask = toys.asker("cartpole/balance", (answer, body) => start(answer, body));
  const further = toys.asker("cartpole/balance", append);

  // A clock that a pause stops.
  function now() {
    return (paused === null ? performance.now() : paused) - late;
  }

  function pause(stops) {
    if (stops === (paused !== null)) return;
    if (!stops) late += performance.now() - paused;
    paused = stops ? performance.now() : null;
    byId("pause").textContent = stops ? "Go on" : "Pause";
    if (stops) view.play(() => false);
    else if (path) run();
  }

  function index() {
    return Math.min(path.states.length - 1, Math.max(0, Math.floor((now() - began) / 1000 / path.dt)));
  }

  // Between two steps: [x, velocity, angle, rate].
  function state() {
    if (!path) return [0, 0, 0, 0];
    const i = index();
    const next = path.states[Math.min(i + 1, path.states.length - 1)];
    const part = Math.min(1, Math.max(0, (now() - began) / 1000 / path.dt - i));
    return path.states[i].map((value, k) => value + part * (next[k] - value));
  }

  function question(state, more) {
    return { x: state[0], velocity: state[1], angle: state[2], rate: state[3], more: more };
  }

  function inside(value, limit) {
    return Math.max(-limit, Math.min(limit, value));
  }

  function start(answer) {
    path = answer;
    began = now();
    version += 1;
    asking = false;
    lean = 0;
    if (toys.isRecorded) {
      byId("recorded").textContent =
        "A recording: the nearest recorded push, " + toys.signed(answer.asked.rate, 2) + " rad/s, of a pole at rest.";
    }
    if (toys.isStill()) skip();
    else if (paused === null) run();
    else view.play(() => false);
  }

  // Without motion: what it comes to.
  function skip() {
    lean = Math.max(...path.states.map((state) => Math.abs(state[2])));
    began -= 1000 * path.dt * path.states.length;
    report(state());
    view.play(() => false);
  }

  function append(answer, body) {
    if (body.more !== version) return;
    // A recording begins at rest: it is another motion, and not what comes next.
    if (toys.isRecorded) {
      start(answer);
      return;
    }
    path.states = path.states.concat(answer.states.slice(1));
    path.pushes = path.pushes.concat(answer.pushes);
    path.ended = answer.ended;
    asking = false;
  }

  function push(rate) {
    const there = state();
    if (over()) return;
    pause(false);
    knock = { rate: rate, until: now() + 400 };
    ask(question([inside(there[0], 2.4), there[1], there[2], inside(there[3] + rate, 20)], 0));
    toys.say("Pushed " + (rate < 0 ? "left" : "right") + " by " + Math.abs(rate).toFixed(2) + " rad/s.");
  }

  function again() {
    pause(false);
    stood = now();
    knock = null;
    toys.say("It stands. Push it.");
    ask(question([0, 0, 0, 0], 0));
  }

  function over() {
    return path !== null && path.ended !== null && index() >= path.states.length - 1;
  }

  function run() {
    view.play(() => {
      const left = path.states.length - 1 - index();
      const there = state();
      lean = Math.max(lean, Math.abs(there[2]));
      if (!path.ended && !asking && left * path.dt < 1) {
        asking = true;
        // Of a long afternoon only the last seconds are kept.
        path.states.splice(0, index());
        path.pushes.splice(0, path.pushes.length - left);
        began = now();
        further(question(path.states[path.states.length - 1], version));
      }
      report(there);
      return !over();
    });
  }

  let reported = 0;
  function report(there) {
    const ended = over();
    if (!ended && !toys.isStill() && now() < reported + 200) return;
    reported = now();
    const degrees = Spanax.shown((lean * 180) / Math.PI, 1) + "°";
    const recent = path.pushes.slice(Math.max(0, index() - 24), index() + 1);
    const right = recent.filter((push) => push > 0).length;
    toys.fill({
      "stands-shown": Spanax.shown((now() - stood) / 1000, 0) + " s",
      "lean-shown": degrees,
      "pushes-shown": right + " of the last " + recent.length,
    });
    if (ended) {
      const how = path.ended === "rail" ? "The cart ran off its rail." : "The pole fell.";
      toys.say(how + " That was too much. Stand it up, and push less.");
    } else if (Math.abs(there[2]) < 0.03 && lean > 0.05) {
      toys.say("Caught: it leaned by " + degrees + " at most.");
      lean = 0;
    }
  }

  // --- the picture

  function layout(width, height) {
    const scale = Math.min(width / (2 * SIDE), (height - 70) / 1.25);
    return { scale: scale, x: (metres) => width / 2 + scale * metres, rail: height - 46 };
  }

  function tip(at, there) {
    return { x: at.x(there[0] + Math.sin(there[2])), y: at.rail - 12 - at.scale * Math.cos(there[2]) };
  }

  function draw(context, width, height, look) {
    const at = layout(width, height);
    const there = state();
    const cart = { x: at.x(there[0]), y: at.rail - 12 };
    const end = tip(at, there);
    context.strokeStyle = look.edge;
    context.lineWidth = 2;
    context.beginPath();
    context.moveTo(at.x(-2.4), at.rail);
    context.lineTo(at.x(2.4), at.rail);
    for (const side of [-2.4, 2.4]) {
      context.moveTo(at.x(side), at.rail - 10);
      context.lineTo(at.x(side), at.rail + 10);
    }
    context.stroke();
    const half = Math.max(16, 0.24 * at.scale);
    context.fillStyle = look.ink;
    context.fillRect(cart.x - half, at.rail - 14, 2 * half, 14);
    context.strokeStyle = look.accent;
    context.lineCap = "round";
    context.lineWidth = 9;
    context.beginPath();
    context.moveTo(cart.x, cart.y);
    context.lineTo(end.x, end.y);
    context.stroke();
    drawForce(context, at, cart, look);
    if (knock && now() < knock.until) drawKnock(context, end, knock.rate, look);
    if (drag && drag.moved) toys.arrow(context, end, { x: end.x + (pull() / FULL) * 150, y: end.y }, look.bad, 4);
    context.fillStyle = look.quiet;
    context.textAlign = "center";
    context.textBaseline = "alphabetic";
    context.fillText(over() ? "" : "the network's push", cart.x, at.rail + 38);
  }

  // Single pushes change sides fifty times a second: an arrow shows the mean of the last few.
  function drawForce(context, at, cart, look) {
    if (!path || over()) return;
    const i = Math.min(index(), path.pushes.length - 1);
    const recent = path.pushes.slice(Math.max(0, i - 6), i + 1);
    const mean = recent.reduce((sum, push) => sum + push, 0) / Math.max(1, recent.length);
    if (Math.abs(mean) < 0.1) return;
    toys.arrow(context, { x: cart.x, y: at.rail + 14 }, { x: cart.x + mean * 70, y: at.rail + 14 }, look.good, 3);
  }

  function drawKnock(context, end, rate, look) {
    const way = Math.sign(rate);
    const long = 20 + (Math.abs(rate) / FULL) * 90;
    toys.arrow(context, { x: end.x - way * (long + 10), y: end.y }, { x: end.x - way * 10, y: end.y }, look.bad, 4);
  }

  // --- what the hand does

  function pull() {
    return inside(Math.round(((drag.x - drag.from) / 150) * FULL * 4) / 4, FULL);
  }

  toys.drags(
    canvas,
    view,
    (place) => {
      if (over()) {
        again();
        return false;
      }
      drag = { from: place.x, x: place.x, moved: false };
      return true;
    },
    (place) => {
      drag.x = place.x;
      drag.moved = drag.moved || Math.abs(drag.x - drag.from) > 6;
      view.draw();
    },
    (place) => {
      const side = place.x < tip(layout(view.size.width, view.size.height), state()).x ? 1 : -1;
      const rate = drag.moved ? pull() : side * strength.value;
      drag = null;
      if (rate) push(rate);
    },
  );
  byId("left").addEventListener("click", () => push(-strength.value));
  byId("right").addEventListener("click", () => push(strength.value));
  byId("again").addEventListener("click", again);
  byId("pause").addEventListener("click", () => pause(paused === null));
  document.addEventListener("keydown", (event) => {
    // A range and a list have their own use for the arrows.
    if (event.target.matches("input, select, textarea") || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === "ArrowLeft") push(-strength.value);
    else if (event.key === "ArrowRight") push(strength.value);
    else return;
    event.preventDefault();
  });
  window.SpanaxToy = { view: view, state: state };
  again();
})();
