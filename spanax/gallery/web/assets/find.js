"use strict";
(function () {
  const EXAMPLES = [
    {
      name: "A rounded weight",
      source: "def f(x, w):\n    y = jnp.round(x * w)\n    return jnp.sum(y + w)\n",
      arguments: "jnp.array([0.3, 1.2, 2.6]), 2.0",
    },
    {
      name: "Hard attention: the best place",
      source:
        "def f(w, x):\n    scores = x @ w\n    best = jnp.argmax(scores)\n    return jnp.sum(x[best] ** 2)\n",
      arguments: "jnp.array([0.5, -1.0]), jnp.array([[1.0, 2.0], [3.0, 0.5], [0.0, 1.0]])",
    },
    {
      name: "Plain Python: a ball that bounces",
      source:
        "def height(speed):\n    y, v = 1.0, speed\n    for _ in range(40):\n        y, v = y + 0.05 * v, v - 0.5\n" +
        "        if y < 0:\n            y, v = -y, -0.8 * v\n    return y\n",
      arguments: "3.0",
    },
    {
      name: "NumPy: a price with steps",
      source:
        "import numpy as np\n\ndef cost(amount):\n    boxes = np.ceil(amount / 12)\n    discount = 0.9 if boxes > 10 else 1.0\n    return 3.0 * amount + 20 * boxes * discount\n",
      arguments: "100.0",
    },
    {
      name: "A draw, bridged",
      source:
        "import numpyro.distributions as dist\n\ndef f(logits, *, key):\n    z = sx.sample(key, dist.Bernoulli(logits=logits).to_event(1), via=sx.LeaveOneOut(), name=\"z\")\n" +
        "    return jnp.sum(jnp.sin(z)) ** 2\n",
      arguments: "jnp.zeros(4)",
    },
    {
      name: "A root that makes NaN",
      source: "def f(x):\n    return jnp.sum(jnp.where(x > 0, jnp.sqrt(x), 0.0))\n",
      arguments: "jnp.array([0.0, 1.0, 4.0])",
    },
    {
      name: "Nothing is cut",
      source: "def f(x):\n    return jnp.sum(jnp.sort(jnp.tanh(x)) * jnp.arange(3.0))\n",
      arguments: "jnp.array([0.5, -1.0, 2.0])",
    },
  ];
  const SUBJECTS = ["network", "files", "processes", "time", "memory"];
  const by = (id) => document.getElementById(id);
  let looking = null;

  // Every text of an answer goes into the page as text: no markup of a program is ever markup here.
  function element(tag, text, className) {
    const made = document.createElement(tag);
    if (text) made.textContent = text;
    if (className) made.className = className;
    return made;
  }

  function choose(example) {
    by("source").value = example.source;
    by("arguments").value = example.arguments;
  }

  function remedies(list) {
    const made = element("ul");
    for (const remedy of list) {
      const item = element("li");
      item.append(element("code", remedy));
      made.append(item);
    }
    return made;
  }

  function said(gap) {
    const made = element("div", "", "said");
    const cuts = gap.leaf.length ? " of " + gap.leaf.join(", ") : "";
    let text;
    if (gap.kind === "bridged") text = gap.operation + ": bridged by " + gap.via;
    else if (gap.cuts) text = gap.operation + ": cuts the gradient" + cuts + " (" + gap.kind + ", by its " + gap.route + ")";
    else text = gap.operation + ": " + gap.kind + cuts;
    made.append(element("strong", text));
    if (gap.note) made.append(element("p", gap.note));
    if (gap.remedies.length) made.append(element("div", "What helps:"), remedies(gap.remedies));
    return made;
  }

  function kind(gaps) {
    if (gaps.some((gap) => gap.cuts)) return "is-cut";
    if (gaps.length && gaps.every((gap) => gap.kind === "bridged")) return "is-bridged";
    return gaps.length ? "is-steered" : "";
  }

  function showLines(source, gaps, mistake) {
    const lines = source.replace(/\n+$/, "").split("\n");
    by("lines").replaceChildren(
      ...lines.map((line, i) => {
        const here = gaps.filter((gap) => gap.line === i + 1);
        const wrong = mistake && mistake.line === i + 1;
        const item = element("li", "", wrong ? "is-cut" : kind(here));
        item.append(element("span", String(i + 1), "number mono"), element("code", line || " "));
        item.append(...here.map(said));
        if (wrong) {
          const note = element("div", "", "said");
          note.append(element("strong", mistake.problem));
          if (mistake.remedies && mistake.remedies.length) note.append(remedies(mistake.remedies));
          item.append(note);
        }
        return item;
      })
    );
    by("elsewhere").replaceChildren(...gaps.filter((gap) => !gap.line).map(said));
  }

  function inWords(answer) {
    const leaves = Object.entries(answer.per_leaf);
    const sentences = [answer.function + ": " + answer.verdict + ": " + answer.meaning];
    if (answer.lifted) sentences.push("It is plain Python, and was lifted to JAX");
    if (leaves.length > 1) sentences.push(leaves.map(([leaf, verdict]) => leaf + ": " + verdict).join(", "));
    if (answer.flat.length) sentences.push("It is 0 at and around these arguments, in " + answer.flat.join(", "));
    if (answer.not_finite) sentences.push(answer.not_finite.problem);
    return sentences.join(". ");
  }

  function show(source, answer) {
    const verdict = by("verdict");
    by("answer").hidden = false;
    if (answer.problem) {
      verdict.className = "bad";
      verdict.textContent = answer.problem;
      showLines(source, [], answer);
    } else {
      const flows = answer.verdict === "alive" || answer.verdict === "piecewise";
      verdict.className = flows && !answer.not_finite && !answer.flat.length ? "good" : "bad";
      verdict.textContent = inWords(answer);
      showLines(source, answer.gaps, answer.not_finite);
    }
    by("printed").hidden = !answer.printed;
    by("printed").textContent = answer.printed;
    showHeld(answer.held);
  }

  function showHeld(held) {
    by("held").replaceChildren();
    for (const subject of held ? SUBJECTS : []) {
      const no = held[subject].startsWith("no: ");
      by("held").append(element("dt", subject), element("dd", held[subject].replace(/^no: /, "not given up: "), no ? "bad" : ""));
    }
    if (!held) by("held").append(element("dt", "unknown"), element("dd", "the process did not come to say it"));
  }

  async function look(event) {
    event.preventDefault();
    if (looking || by("look").disabled) return;
    looking = new AbortController();
    const source = by("source").value;
    setBusy(true);
    try {
      const sent = { source: source, arguments: by("arguments").value };
      show(source, await Spanax.post("find/look", sent, looking.signal));
    } catch (error) {
      const stopped = looking.signal.aborted;
      show(source, { problem: stopped ? "stopped" : error.message, line: 0, printed: "" });
    } finally {
      looking = null;
      setBusy(false);
    }
  }

  function setBusy(busy) {
    by("look").disabled = busy;
    by("stop").hidden = !busy;
    by("form").setAttribute("aria-busy", String(busy));
    if (busy) {
      by("answer").hidden = false;
      by("verdict").className = "";
      by("verdict").textContent = "Looking: a fresh process starts, which takes some seconds ...";
    }
  }

  function turnOff(why) {
    by("off").hidden = false;
    by("off").textContent = why;
    by("look").disabled = true;
  }

  function start() {
    for (const example of EXAMPLES) by("example").append(new Option(example.name));
    choose(EXAMPLES[0]);
    by("example").addEventListener("change", () => choose(EXAMPLES[by("example").selectedIndex]));
    by("form").addEventListener("submit", look);
    by("stop").addEventListener("click", () => looking && looking.abort());
    by("source").addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) by("form").requestSubmit();
    });
    if (!Spanax.served) {
      turnOff("This copy of the page has no server: spanax serve --allow-code");
      return;
    }
    Spanax.post("find/state", {}).then(
      (state) => state.allowed || turnOff(state.off),
      (error) => turnOff(error.message)
    );
  }

  start();
})();
