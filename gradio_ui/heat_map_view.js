// Runs in the browser for each heat map view: draws the layer from its numbers, and answers the
// buttons, keys and touches. Gradio hands in `element`, `props` and `watch`.
const COLOURS = {malignant: MALIGNANT_RGB, benign: BENIGN_RGB};
const MARK = "#282828";
const KEYS = {h: "toggle", s: "both", "+": "closer", "=": "closer", "-": "further",
  n: "next", p: "previous"};
const figure = element.querySelector("figure");
const panes = [...figure.querySelectorAll(".pane")];
const canvas = figure.querySelector("canvas");
const chosen = figure.querySelector(".chosen");
const pen = canvas.getContext("2d");
let mode = matchMedia("(max-width: 640px)").matches ? "both" : "heatmap";
let zoom = 1;
let place = -1;

const colour = strength => COLOURS[strength > 0 ? "malignant" : "benign"];
const opacity = strength => MAX_OPACITY * Math.min(Math.abs(strength), 1);

function drawGrid(rows) {
  const small = document.createElement("canvas");
  [small.width, small.height] = [rows[0].length, rows.length];
  const pixels = rows.flat().flatMap(s => [...colour(s), 255 * opacity(s)]);
  small.getContext("2d").putImageData(
    new ImageData(new Uint8ClampedArray(pixels), small.width, small.height), 0, 0);
  [canvas.width, canvas.height] = [64 * small.width, 64 * small.height];
  // Linear, as canvases are by themselves: right in the middle of each place.
  pen.drawImage(small, 0, 0, canvas.width, canvas.height);
}

function drawFields(fields, ratio) {
  [canvas.width, canvas.height] = [1600, Math.round(1600 / ratio)];
  pen.strokeStyle = MARK;
  fields.forEach((field, i) => {
    const [x, width] = [field.x, field.width].map(share => share * canvas.width);
    const [y, height] = [field.y, field.height].map(share => share * canvas.height);
    pen.lineWidth = i === place ? 5 : 1;
    pen.beginPath();
    pen.rect(x, y, width, height);
    if (field.verdict === "uncertain" || field.verdict === "rejected") {
      pen.moveTo(x, y + height);
      pen.lineTo(x + width, y);
    }
    if (field.verdict === "rejected") {
      pen.moveTo(x, y);
      pen.lineTo(x + width, y + height);
    } else {
      pen.fillStyle = `rgba(${colour(field.strength)}, ${opacity(field.strength)})`;
      pen.fillRect(x, y, width, height);
    }
    pen.stroke();
  });
}

function show() {
  const {image = "", alt = "", rows, fields, ratio, said = "", label = "", ticks = [], lines = []} =
    props.value || {};
  const explained = Boolean(rows || fields);
  figure.classList.toggle("empty", !image);
  figure.classList.toggle("plain", !explained);
  figure.dataset.mode = explained ? mode : "picture";
  figure.style.setProperty("--zoom", zoom);
  for (const sheet of figure.querySelectorAll(".sheet img")) {
    if (!image) sheet.removeAttribute("src");
    else if (sheet.getAttribute("src") !== image) sheet.src = image;
    sheet.alt = alt;
  }
  const live = figure.querySelector(".said");
  if (live.dataset.shown !== said) {  // else it would be read aloud again
    live.innerHTML = live.dataset.shown = said;
  }
  if (rows) drawGrid(rows);
  if (fields) drawFields(fields, ratio);
  canvas.setAttribute("aria-label", label);
  const write = (list, name, texts) => figure.querySelector(list).replaceChildren(
    ...texts.map(text => Object.assign(document.createElement(name), {textContent: text})));
  write(".ticks", "span", ticks);
  write(".lines", "p", lines);
  for (const button of figure.querySelectorAll("[data-mode]")) {
    button.setAttribute("aria-pressed", button.dataset.mode === mode);
  }
  const field = (fields || [])[place];
  chosen.hidden = !field;
  if (field) {
    chosen.querySelector("img").src = field.picture;
    chosen.querySelector("p").textContent = field.caption;
  }
}

function magnify(factor) {
  const before = zoom;
  zoom = Math.min(Math.max(zoom * factor, 1), 8);
  const centres = panes.map(p => [p.scrollLeft + p.clientWidth / 2, p.scrollTop + p.clientHeight / 2]);
  show();
  panes.forEach((pane, i) => pane.scrollTo(
    centres[i][0] * zoom / before - pane.clientWidth / 2,
    centres[i][1] * zoom / before - pane.clientHeight / 2));
}

function choose(next) {
  const number = (props.value.fields || []).length;
  place = number ? (next + number) % number : -1;
  show();
}

function act(what) {
  if (what === "closer") return magnify(1.5);
  if (what === "further") return magnify(1 / 1.5);
  if (what === "next") return choose(place + 1);
  if (what === "previous") return choose(place - 1);
  mode = what === "toggle" ? (mode === "picture" ? "heatmap" : "picture") : what;
  const focused = panes.find(pane => pane === document.activeElement);
  show();
  // Else the next key would go nowhere.
  if (focused && !focused.offsetParent) panes.find(pane => pane.offsetParent).focus();
}

function touch(event) {
  const fields = props.value.fields;
  if (!fields) return act("toggle");
  const sheet = event.target.closest(".sheet").getBoundingClientRect();
  const x = (event.clientX - sheet.left) / sheet.width;
  const y = (event.clientY - sheet.top) / sheet.height;
  place = fields.findIndex(
    f => x >= f.x && x < f.x + f.width && y >= f.y && y < f.y + f.height);
  show();
}

element.addEventListener("click", event => {
  const button = event.target.closest("button");
  if (!button && event.target.closest(".sheet") && !figure.matches(".plain")) return touch(event);
  if (!button) return;
  if (button.dataset.tab) {
    const tabs = [...document.querySelectorAll("button[role=tab]")];
    tabs.find(tab => tab.textContent.trim() === button.dataset.tab).click();
  } else act(button.dataset.do || button.dataset.mode);
});
element.addEventListener("keydown", event => {
  const what = KEYS[event.key.toLowerCase()];
  if (!what || event.ctrlKey || event.metaKey || event.altKey || figure.matches(".plain")) return;
  event.preventDefault();
  act(what);
});
figure.querySelector(".sheet img").addEventListener("load", event => {
  figure.style.setProperty("--ratio", event.target.naturalWidth / event.target.naturalHeight);
});
panes.forEach((pane, i) => pane.addEventListener("scroll", () => {
  panes[1 - i].scrollTo(pane.scrollLeft, pane.scrollTop);
}));
watch("value", () => {
  if (!(props.value || {}).fields) place = -1;
  show();
});
show();
