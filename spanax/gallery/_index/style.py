"""The page's look, in itself: it is one file. Contrasts are 4.5 or more in both schemes."""

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #ffffff; --card: #f5f6f8; --ink: #1c2024; --quiet: #555d66;
  --line: #d3d8de; --link: #2449a8; --bad: #a3261b;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14171a; --card: #1d2125; --ink: #e6e9ec; --quiet: #a9b1ba;
    --line: #3a4149; --link: #9db8ff; --bad: #ff9c91;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; max-width: 64rem; padding: 1rem;
  background: var(--paper); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif;
}
h1 { font-size: 1.6rem; margin: 0 0 .25rem; }
h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
h3 { font-size: 1.15rem; margin: 0; overflow-wrap: anywhere; }
h4 { font-size: 1rem; margin: 1rem 0 .25rem; }
a { color: var(--link); }
a:focus-visible, summary:focus-visible, [tabindex]:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
p { margin: .25rem 0; }
.quiet { color: var(--quiet); }
.bad { color: var(--bad); }
nav ul { margin: .25rem 0; padding-left: 1.2rem; }
nav li { padding: .2rem 0; }
article { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: 1rem; margin: 1rem 0; }
img { display: block; max-width: 100%; height: auto; margin: .75rem 0; background: #ffffff; border-radius: .25rem; }
.wide { overflow-x: auto; max-width: 100%; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .75rem .25rem 0; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
th { color: var(--quiet); font-weight: 600; vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; }
dl {
  display: grid; grid-template-columns: minmax(0, auto) minmax(0, 1fr); gap: .15rem 1rem;
  margin: .5rem 0; font-size: .95rem;
}
dt { color: var(--quiet); overflow-wrap: anywhere; }
dd { margin: 0; overflow-wrap: anywhere; }
summary { cursor: pointer; padding: .4rem 0; }
code { overflow-wrap: anywhere; }
"""
