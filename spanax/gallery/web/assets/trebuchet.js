"use strict";
// The trebuchet's page: the target and the wind are dragged, the network's throw is asked for, its film is played.
(function () {
  const toys = window.SpanaxToys;
  const byId = toys.byId;
  const canvas = byId("stage");
  // A swing takes half a second and a flight five: two time scales, so that both can be followed.
  const SLOW = 0.4;
  const FAST = 2.2;
  const LEFT = -9;
  const RIGHT = 128;

  let shot = null;
  let clock = null; // seconds of the throw that are shown; null: its landing
  let dragged = null; // "target" or "wind"
  let earlier = []; // paths of a training's shots
  let training = null;

  const view = toys.stage(canvas, (width) => (width < 600 ? width * 0.95 : width * 0.56), draw);
  const target = toys.slider("target", (value) => value.toFixed(1) + " m", aim, fire);
  const wind = toys.slider("wind", (value) => toys.signed(value, 1) + " m/s", aim, fire);
  const ask = toys.asker("trebuchet/shoot", (answer) => show(answer, wanted));
  let wanted = true; // is the film to be played when the answer is there?
  let network = null; // the weights of the visitor's own

  function aim() {
    wanted = false;
    earlier = [];
    const body = { wind: wind.value, target: target.value };
    if (network && byId("aimed-by").value === "own") ask({ ...body, network: network }, "trebuchet/own");
    else ask(body);
  }

  function fire() {
    aim();
    wanted = true;
  }

  function show(answer, plays) {
    shot = answer;
    clock = null;
    const film = shot.motion;
    if (plays && !toys.isStill()) {
      const swing = film.time[film.released];
      view.play((seconds) => {
        const swung = seconds * SLOW;
        clock = swung < swing ? swung : swing + (seconds - swing / SLOW) * FAST;
        if (clock < film.time[film.time.length - 1]) return true;
        clock = null;
        return false;
      });
    } else {
      view.play(() => false);
    }
    describe();
  }

  function describe() {
    const off = shot.error_cm;
    const away = Math.abs(off) < 100 ? Spanax.shown(Math.abs(off), 1) + " cm" : Spanax.shown(Math.abs(off) / 100, 2) + " m";
    const side = off < 0 ? "short" : "too far";
    toys.fill({
      "lands-shown": Spanax.shown(shot.distance, 2) + " m",
      "off-shown": away + " " + side,
      "angle-shown": Spanax.shown(shot.angle, 1) + "°",
      "weight-shown": Spanax.shown(shot.weight, 0) + " lb",
      "reach-shown": Spanax.shown(Math.max(0, shot.reach[0]), 0) + " to " + Spanax.shown(shot.reach[1], 0) + " m",
    });
    const far = shot.in_reach ? "" : " That target is out of reach in this wind.";
    const where = "Lands at " + Spanax.shown(shot.distance, 2) + " m, " + away + " " + side + ".";
    toys.say(where + far);
    if (toys.isRecorded) {
      const there = shot.asked;
      byId("recorded").textContent =
        "A recording: this is the nearest recorded throw, at " + there.target + " m in wind " + toys.signed(there.wind, 0) + " m/s.";
    }
  }

  // --- the training

  // What is trained is shown at one wind and target: they stay as they are meanwhile.
  function hold(held) {
    for (const id of ["target", "wind", "throw", "aimed-by"]) byId(id).disabled = held;
  }

  function finish(text) {
    training = null;
    hold(false);
    byId("train").textContent = "Train a network from scratch";
    byId("training").textContent = text;
  }

  async function train() {
    if (training) {
      training.abort();
      return;
    }
    const own = (training = new AbortController());
    byId("train").textContent = "Stop";
    hold(true);
    byId("training").textContent = "Compiling the derivative of the throw: some seconds, the first time.";
    earlier = [];
    curve.length = 0;
    const body = { wind: wind.value, target: target.value, seed: Math.floor(Math.random() * 1e9) };
    try {
      await Spanax.stream("trebuchet/train", body, learn, own.signal);
      finish(byId("training").textContent + " Your network aims now.");
    } catch (error) {
      finish(own.signal.aborted ? "Stopped." : error.message);
    }
  }

  function learn(record) {
    if (!record.shot) return;
    if (shot) earlier = earlier.concat([shot.motion]).slice(-14);
    curve.push({ throws: record.throws, miss: record.miss_m });
    target.value = record.shot.target;
    wind.value = record.shot.wind;
    show(record.shot, record.done);
    if (record.done) {
      network = record.network;
      byId("aimed-by").value = "own";
      byId("choice").hidden = false;
    }
    chart.draw();
    const miss = Spanax.shown(record.miss_m, 2);
    byId("training").textContent =
      "After " + Spanax.shown(record.throws) + " throws (update " + record.update + " of " + record.of + ") the median miss is " + miss + " m.";
  }

  const curve = [];
  const chart = toys.stage(byId("curve"), () => 150, drawCurve);

  function drawCurve(context, width, height, look) {
    const box = { left: 46, right: width - 12, top: 14, bottom: height - 26 };
    const most = Math.max(76800, ...curve.map((point) => point.throws));
    const y = (miss) => box.bottom - ((Math.log10(Math.max(miss, 0.1)) + 1) / 2.7) * (box.bottom - box.top);
    context.font = "12px system-ui, sans-serif";
    context.fillStyle = look.quiet;
    context.strokeStyle = look.line;
    context.lineWidth = 1;
    context.textAlign = "right";
    context.textBaseline = "middle";
    for (const miss of [0.1, 1, 10]) {
      context.fillText(miss + " m", box.left - 6, y(miss));
      context.beginPath();
      context.moveTo(box.left, y(miss));
      context.lineTo(box.right, y(miss));
      context.stroke();
    }
    context.textBaseline = "bottom";
    context.fillText("median miss by throws, up to " + Spanax.shown(most), box.right, height - 6);
    context.strokeStyle = look.accent;
    context.lineWidth = 2;
    context.beginPath();
    curve.forEach((point, i) => {
      const x = box.left + (point.throws / most) * (box.right - box.left);
      if (i) context.lineTo(x, y(point.miss));
      else context.moveTo(x, y(point.miss));
    });
    context.stroke();
  }

  // --- the picture

  function layout(width, height) {
    const band = Math.round(height * 0.44);
    const scale = width / (RIGHT - LEFT);
    const ground = height - 34;
    return { band: band, scale: scale, ground: ground, x: (metres) => (metres - LEFT) * scale };
  }

  // Between two frames of the film: x and y in metres of one of its points.
  function between(points, i, part) {
    const last = points.length / 2 - 1;
    const a = Math.min(i, last);
    const b = Math.min(i + 1, last);
    return {
      x: (points[2 * a] + part * (points[2 * b] - points[2 * a])) / 100,
      y: (points[2 * a + 1] + part * (points[2 * b + 1] - points[2 * a + 1])) / 100,
    };
  }

  function moment(film) {
    const times = film.time;
    const now = clock === null ? times[times.length - 1] : clock;
    let i = 0;
    while (i < times.length - 2 && times[i + 1] <= now) i += 1;
    return { i: i, part: Math.min(1, (now - times[i]) / (times[i + 1] - times[i])) };
  }

  function draw(context, width, height, look) {
    const at = layout(width, height);
    drawGround(context, at, width, look);
    drawWind(context, at, width, look);
    if (!shot) return;
    let highest = 0;
    for (const film of earlier.concat([shot.motion])) {
      for (let i = 1; i < film.projectile.length; i += 2) highest = Math.max(highest, film.projectile[i] / 100);
    }
    // Equal scales, unless the throw is higher than its room.
    const up = Math.min(at.scale, (at.ground - at.band - 6) / highest);
    const place = (point) => ({ x: at.x(point.x), y: at.ground - up * point.y });
    earlier.forEach((film, i) => drawPath(context, film, film.time.length - 1, 1, place, look.edge, 0.2 + (0.5 * i) / earlier.length));
    drawTarget(context, at, look);
    const now = moment(shot.motion);
    drawPath(context, shot.motion, now.i, now.part, place, look.accent, 1);
    drawBall(context, place(between(shot.motion.projectile, now.i, now.part)), 5, look);
    if (clock === null) drawLanding(context, at, look);
    drawMachine(context, at, width, now, look);
  }

  function drawGround(context, at, width, look) {
    context.strokeStyle = look.edge;
    context.lineWidth = 1.5;
    context.beginPath();
    context.moveTo(0, at.ground);
    context.lineTo(width, at.ground);
    context.stroke();
    if (shot) {
      // How far this wind lets it throw.
      context.strokeStyle = look.good;
      context.lineWidth = 4;
      context.beginPath();
      context.moveTo(at.x(Math.max(0, shot.reach[0])), at.ground + 3);
      context.lineTo(at.x(Math.min(RIGHT, shot.reach[1])), at.ground + 3);
      context.stroke();
    }
    context.fillStyle = look.quiet;
    // Not where the flag is.
    const after = shot ? at.x(shot.reach[1]) - at.x(target.value) : 0;
    if (after > 66 || after < -8) {
      context.textAlign = "right";
      context.textBaseline = "bottom";
      context.fillText("reach", at.x(Math.min(RIGHT, shot.reach[1])), at.ground - 3);
    }
    context.textAlign = "center";
    context.textBaseline = "top";
    for (let metres = 0; metres <= 120; metres += width < 500 ? 50 : 20) context.fillText(metres + " m", at.x(metres), at.ground + 9);
  }

  function drawTarget(context, at, look) {
    const x = at.x(target.value);
    context.strokeStyle = context.fillStyle = look.bad;
    context.lineWidth = dragged === "target" ? 4 : 2.5;
    context.beginPath();
    context.moveTo(x, at.ground);
    context.lineTo(x, at.ground - 44);
    context.stroke();
    context.beginPath();
    context.moveTo(x, at.ground - 46);
    context.lineTo(x + 22, at.ground - 37);
    context.lineTo(x, at.ground - 28);
    context.fill();
  }

  function drawPath(context, film, i, part, place, colour, strength) {
    if (i < film.released) return;
    context.globalAlpha = strength;
    context.strokeStyle = colour;
    context.lineWidth = 2;
    context.beginPath();
    for (let k = film.released; k <= i; k += 1) {
      const point = place(between(film.projectile, k, 0));
      if (k === film.released) context.moveTo(point.x, point.y);
      else context.lineTo(point.x, point.y);
    }
    const last = place(between(film.projectile, i, part));
    context.lineTo(last.x, last.y);
    context.stroke();
    context.globalAlpha = 1;
  }

  function drawBall(context, point, radius, look) {
    context.fillStyle = look.ink;
    context.beginPath();
    context.arc(point.x, point.y, radius, 0, 2 * Math.PI);
    context.fill();
  }

  function drawLanding(context, at, look) {
    const x = at.x(shot.distance);
    const text = toys.signed(shot.error_cm, Math.abs(shot.error_cm) < 100 ? 1 : 0) + " cm";
    context.font = "600 15px system-ui, sans-serif";
    const half = context.measureText(text).width / 2 + 4;
    const width = view.size.width;
    context.fillStyle = look.ink;
    context.textAlign = "center";
    context.textBaseline = "bottom";
    context.fillText(text, Math.min(width - half, Math.max(half, x)), at.ground - 52);
    context.font = "14px system-ui, sans-serif";
  }

  function drawWind(context, at, width, look) {
    const middle = { x: width * 0.75, y: at.band * 0.5 };
    const long = (Math.abs(wind.value) / 8) * width * 0.16;
    const way = Math.sign(wind.value);
    context.fillStyle = look.quiet;
    context.textAlign = "center";
    context.textBaseline = "bottom";
    context.fillText("wind " + toys.signed(wind.value, 1) + " m/s", middle.x, middle.y - 18);
    context.textBaseline = "top";
    if (!training) context.fillText("drag to turn it", middle.x, middle.y + 18);
    const heavy = dragged === "wind" ? 6 : 4;
    if (way) toys.arrow(context, { x: middle.x - way * long, y: middle.y }, { x: middle.x + way * long, y: middle.y }, look.accent, heavy);
    context.fillStyle = look.accent;
    context.beginPath();
    context.arc(middle.x, middle.y, heavy, 0, 2 * Math.PI);
    context.fill();
  }

  // The machine, enlarged, in the upper left.
  function drawMachine(context, at, width, now, look) {
    const film = shot.motion;
    const scale = Math.min((width * 0.48) / 8.8, (at.band - 12) / 6.1);
    const bottom = at.band - 4;
    const place = (point) => ({ x: width * 0.25 + scale * point.x, y: bottom - scale * point.y });
    const there = (name) => place(between(film[name], now.i, now.part));
    const pivot = place({ x: film.pivot[0] / 100, y: film.pivot[1] / 100 });
    const line = (a, b, colour, thick) => {
      context.strokeStyle = colour;
      context.lineWidth = thick;
      context.lineCap = "round";
      context.beginPath();
      context.moveTo(a.x, a.y);
      context.lineTo(b.x, b.y);
      context.stroke();
    };
    const foot = 0.75 * scale;
    line({ x: width * 0.02, y: bottom }, { x: width * 0.48, y: bottom }, look.line, 2);
    line(pivot, { x: pivot.x - foot, y: bottom }, look.edge, 3);
    line(pivot, { x: pivot.x + foot, y: bottom }, look.edge, 3);
    const ball = there("projectile");
    if (now.i < film.released && clock !== null) line(there("tip"), ball, look.quiet, 1.5);
    line(there("tip"), there("short"), look.ink, 5);
    line(there("short"), there("weight"), look.quiet, 2);
    const weight = there("weight");
    const half = scale * 0.09 * Math.cbrt(shot.weight / 8);
    context.fillStyle = look.edge;
    context.fillRect(weight.x - half, weight.y - half, 2 * half, 2 * half);
    if (ball.x < width * 0.5 && ball.y > 0) drawBall(context, ball, 4, look);
  }

  // --- what the hand does

  function metres(place) {
    const at = layout(view.size.width, view.size.height);
    return Math.min(110, Math.max(20, Math.round((place.x / at.scale + LEFT) * 2) / 2));
  }

  function metresPerSecond(place) {
    const part = (place.x / view.size.width - 0.75) / 0.16;
    return Math.min(8, Math.max(-8, Math.round(part * 8 * 2) / 2));
  }

  function begin(place) {
    const at = layout(view.size.width, view.size.height);
    if (training) return false;
    if (place.y > at.band) dragged = "target";
    else if (place.x > view.size.width / 2) dragged = "wind";
    else return false;
    move(place);
    return true;
  }

  function move(place) {
    if (dragged === "target") target.value = metres(place);
    else wind.value = metresPerSecond(place);
    aim();
    view.draw();
  }

  toys.drags(canvas, view, begin, move, () => {
    dragged = null;
    fire();
  });
  byId("throw").addEventListener("click", fire);
  byId("train").addEventListener("click", train);
  byId("aimed-by").addEventListener("change", fire);
  if (toys.isRecorded) byId("learning").hidden = true;
  window.SpanaxToy = { view: view, shot: () => shot };
  fire();
})();
