"use strict";
// The pendulum's page: the rod is thrown, and what the server says comes next is played.
(function () {
  const toys = window.SpanaxToys;
  const byId = toys.byId;
  const canvas = byId("stage");

  let path = null; // {dt, states: [angle, velocity], torques, upright_s}
  let began = 0;
  let asking = false;
  let version = 0;
  let held = null; // the angle at which the hand holds it
  let trail = []; // where the hand was: {angle, time}

  const view = toys.stage(canvas, (width) => Math.min(width, 460), draw);
  const angle = toys.slider("angle", (value) => degrees(value), preview);
  const velocity = toys.slider("velocity", (value) => toys.signed(value, 1) + " rad/s", preview);
  const ask = toys.asker("pendulum/swing", start);
  const further = toys.asker("pendulum/swing", append);

  const now = () => performance.now();
  function degrees(value) {
    return (value < 0 ? "−" : "") + Math.abs(value) + "°";
  }

  const wrap = (a) => a - 2 * Math.PI * Math.round(a / (2 * Math.PI));

  function index() {
    return Math.min(path.states.length - 1, Math.max(0, Math.floor((now() - began) / 1000 / path.dt)));
  }

  // Twenty steps a second are played as sixty: by the cubic through both angles with both velocities.
  function present() {
    if (held !== null) return held;
    if (!path) return Math.PI;
    const i = index();
    const [a, va] = path.states[i];
    const [b, vb] = path.states[Math.min(i + 1, path.states.length - 1)];
    const t = Math.min(1, Math.max(0, (now() - began) / 1000 / path.dt - i));
    const h = path.dt;
    const ease = t * t * (3 - 2 * t);
    return a + ease * (b - a) + h * t * (1 - t) * ((1 - t) * va - t * vb);
  }

  function preview() {
    held = (angle.value * Math.PI) / 180;
    view.play(() => false);
  }

  function limited(value, limit) {
    return Math.max(-limit, Math.min(limit, value));
  }

  function fling(from, speed) {
    ask({ angle: limited(wrap(from), Math.PI), velocity: limited(speed, 8), more: 0 });
  }

  function start(answer) {
    path = answer;
    began = now();
    held = null;
    asking = false;
    version += 1;
    if (toys.isStill()) {
      // Without motion: where it comes to rest.
      began -= 1000 * path.dt * (path.states.length - 1);
    }
    describe();
    view.play(() => {
      const left = path.states.length - 1 - index();
      if (held !== null || toys.isStill()) return false;
      if (!asking && left * path.dt < 1) {
        asking = true;
        const [a, v] = path.states[path.states.length - 1];
        further({ angle: limited(wrap(a), Math.PI), velocity: limited(v, 8), more: version });
      }
      return true;
    });
  }

  function append(answer, body) {
    if (body.more !== version) return;
    const turns = path.states[path.states.length - 1][0] - answer.states[0][0];
    path.states = path.states.concat(answer.states.slice(1).map(([a, v]) => [a + turns, v]));
    path.torques = path.torques.concat(answer.torques);
    asking = false;
  }

  function describe() {
    const strongest = Math.max(...path.torques.map(Math.abs));
    const upright = path.upright_s === null ? "not yet" : Spanax.shown(path.upright_s, 2) + " s";
    toys.fill({ "upright-shown": upright, "torque-shown": Spanax.shown(strongest, 2) + " N m" });
    const [a, v] = path.states[0];
    const from = "From " + degrees(Math.round((wrap(a) * 180) / Math.PI)) + " at " + toys.signed(v, 1) + " rad/s: ";
    toys.say(from + (path.upright_s === null ? "not upright within 8 s." : "upright after " + upright + "."));
    if (toys.isRecorded) byId("recorded").textContent = "A recording: the nearest recorded throw, " + from.slice(5, -2) + ".";
  }

  // --- the picture

  function draw(context, width, height, look) {
    const middle = { x: width / 2, y: height / 2 };
    const long = Math.min(width, height) * 0.4;
    const a = present();
    const end = { x: middle.x - long * Math.sin(a), y: middle.y - long * Math.cos(a) };
    context.strokeStyle = look.line;
    context.lineWidth = 1.5;
    context.beginPath();
    context.arc(middle.x, middle.y, long, 0, 2 * Math.PI);
    context.stroke();
    context.strokeStyle = look.good;
    context.lineWidth = 4;
    context.beginPath();
    context.arc(middle.x, middle.y, long, -Math.PI / 2 - 0.1, -Math.PI / 2 + 0.1);
    context.stroke();
    context.strokeStyle = look.ink;
    context.lineCap = "round";
    context.lineWidth = 12;
    context.beginPath();
    context.moveTo(middle.x, middle.y);
    context.lineTo(end.x, end.y);
    context.stroke();
    context.fillStyle = look.accent;
    for (const point of [end, middle]) {
      context.beginPath();
      context.arc(point.x, point.y, point === end ? 13 : 5, 0, 2 * Math.PI);
      context.fill();
    }
    drawTorque(context, middle, long, look);
  }

  // Around the pivot: against the clock for a positive torque, as long as it is strong.
  function drawTorque(context, middle, long, look) {
    if (!path || held !== null) return;
    const torque = path.torques[Math.min(index(), path.torques.length - 1)] / 2;
    if (Math.abs(torque) < 0.05) return;
    const radius = long * 0.42;
    const from = -Math.PI / 2 + torque * 1.2;
    const to = -Math.PI / 2 - torque * 1.2;
    context.strokeStyle = look.bad;
    context.lineWidth = 3.5;
    context.beginPath();
    context.arc(middle.x, middle.y, radius, from, to, torque > 0);
    context.stroke();
    const at = { x: middle.x + radius * Math.cos(to), y: middle.y + radius * Math.sin(to) };
    const way = to - (Math.sign(torque) * Math.PI) / 2;
    toys.arrow(context, at, { x: at.x + 12 * Math.cos(way), y: at.y + 12 * Math.sin(way) }, look.bad, 3.5);
    context.fillStyle = look.quiet;
    context.textAlign = "center";
    context.textBaseline = "middle";
    // On the side of the pivot where the rod is not.
    context.fillText("torque", middle.x, Math.cos(present()) < 0 ? middle.y - radius - 16 : middle.y + 24);
  }

  // --- what the hand does

  function follow(place) {
    const at = { x: place.x - view.size.width / 2, y: place.y - view.size.height / 2 };
    const there = Math.atan2(-at.x, -at.y);
    // Turn by turn, so that the speed over the top is no jump.
    held = trail.length ? trail[trail.length - 1].angle + wrap(there - trail[trail.length - 1].angle) : there;
    trail.push({ angle: held, time: now() });
    angle.value = Math.round((wrap(held) * 180) / Math.PI / 5) * 5;
    view.draw();
  }

  function speed() {
    // Of the last tenth of a second: a hand that has stopped does not throw.
    const recent = trail.filter((point) => point.time > now() - 100);
    if (recent.length < 2) return 0;
    const last = recent[recent.length - 1];
    return (last.angle - recent[0].angle) / Math.max(0.02, (last.time - recent[0].time) / 1000);
  }

  toys.drags(
    canvas,
    view,
    (place) => {
      trail = [];
      follow(place);
      return true;
    },
    follow,
    () => {
      const thrown = limited(speed(), 8);
      velocity.value = Math.round(thrown * 2) / 2;
      fling(held, thrown);
    },
  );
  byId("throw").addEventListener("click", () => fling((angle.value * Math.PI) / 180, velocity.value));
  byId("hang").addEventListener("click", () => {
    angle.value = 180;
    velocity.value = 0;
    fling(Math.PI, 0);
  });
  window.SpanaxToy = { view: view, angle: present };
  fling(Math.PI, 0);
})();
