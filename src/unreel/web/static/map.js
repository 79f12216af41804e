// The map: points on a canvas that can be dragged, zoomed and walked with the keys; pictures of what is pointed at.
import { askUntilReady } from "./playback.js";

const find = (selector) => document.querySelector(selector);
const [canvas, tip, film, wait] = ["canvas", ".tip", ".tip video", ".wait"].map((part) => find(`#map ${part}`));
const pen = canvas.getContext("2d");
const buttons = [...document.querySelectorAll(".legend button")];
const styles = [...document.querySelectorAll(".legend svg")]; // of the labels, then of all others
const forms = styles.map((style) => new Path2D(style.querySelector("path").getAttribute("d")));
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const fingers = new Map();
let [points, alone, pointed, moved] = [[], null, null, 0];
let view = { x: 0.5, y: 0.5, zoom: 1 };

const middle = () => [canvas.clientWidth / 2, canvas.clientHeight / 2];
const scale = () => 1.84 * Math.min(...middle()) * view.zoom;
const place = ({ x, y }) => [middle()[0] + (x - view.x) * scale(), middle()[1] + (y - view.y) * scale()];

function draw() {
  const ratio = devicePixelRatio;
  [canvas.width, canvas.height] = [canvas.clientWidth * ratio, canvas.clientHeight * ratio];
  const colours = styles.map((style) => getComputedStyle(style).color);
  const radius = Math.min(6, 2 + 40 / Math.sqrt(points.length + 1)) * Math.min(1.6, Math.sqrt(view.zoom));
  for (const point of pointed ? [...points, pointed] : points) {
    const [[x, y], size] = [place(point), ratio * (point === pointed ? radius + 4 : radius)];
    pen.setTransform(size, 0, 0, size, x * ratio, y * ratio);
    pen.globalAlpha = alone === null || point.label === alone ? 0.85 : 0.12;
    pen.fillStyle = colours[point.style];
    pen.fill(forms[point.style]);
  }
}

function findNearest([x, y], reach = 14) {
  const measure = (point) => Math.hypot(place(point)[0] - x, place(point)[1] - y);
  const near = points.filter((point) => (alone === null || point.label === alone) && measure(point) <= reach);
  return near.reduce((best, point) => (best && measure(best) <= measure(point) ? best : point), null);
}

/** Show what a point stands for: its picture, which plays without sound unless motion is unwanted. */
function point(to) {
  if (to !== pointed) {
    [pointed, tip.hidden] = [to, !to];
    film.removeAttribute("src");
    film.poster = to ? `/thumbnails/${encodeURIComponent(to.id)}` : "";
    tip.querySelector(".tag").textContent = to?.label || "no label";
    tip.querySelector(".name").textContent = to?.path;
    if (to && !calm.matches) film.src = `/media/${encodeURIComponent(to.id)}`;
    if (to && !calm.matches) film.play().catch(() => film.removeAttribute("src")); // its picture will do
  }
  if (to) {
    const [x, y] = place(to);
    const isLow = y + tip.offsetHeight + 20 > canvas.clientHeight;
    tip.style.left = `${Math.max(4, Math.min(canvas.clientWidth - tip.offsetWidth - 4, x + 16))}px`;
    tip.style.top = `${Math.max(4, isLow ? y - tip.offsetHeight - 16 : y + 16)}px`;
  }
  draw();
}

function zoom(factor, [x, y] = middle()) {
  const before = scale();
  view.zoom = Math.max(0.5, Math.min(200, view.zoom * factor));
  view.x += (x - middle()[0]) * (1 / before - 1 / scale());
  view.y += (y - middle()[1]) * (1 / before - 1 / scale());
  point(pointed);
}

function pan(dx, dy) {
  [view.x, view.y] = [view.x - dx / scale(), view.y - dy / scale()];
  point(pointed);
}

const spot = (event) => [event.offsetX, event.offsetY];
const open = (to) => { if (to) location.assign(`/videos/${encodeURIComponent(to.id)}`); };
const KEYS = {
  ArrowLeft: () => pan(50, 0), ArrowRight: () => pan(-50, 0), ArrowUp: () => pan(0, 50), ArrowDown: () => pan(0, -50),
  "+": () => zoom(1.3), "=": () => zoom(1.3), "-": () => zoom(1 / 1.3),
  0: () => { view = { x: 0.5, y: 0.5, zoom: 1 }; }, Enter: () => open(pointed),
};
const ANSWERS = {
  pointerdown: (event) => {
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, spot(event));
    moved = 0;
  },
  pointermove: (event) => {
    const [from, [x, y]] = [fingers.get(event.pointerId), spot(event)];
    if (!from) return point(findNearest([x, y]));
    fingers.set(event.pointerId, [x, y]);
    moved += Math.hypot(x - from[0], y - from[1]);
    const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1];
    if (!other) return pan(x - from[0], y - from[1]);
    const spread = (px, py) => Math.max(1, Math.hypot(px - other[0], py - other[1]));
    zoom(spread(x, y) / spread(...from), other);
  },
  pointerup: (event) => {
    fingers.delete(event.pointerId);
    if (moved > 6 || fingers.size) return;
    const hit = findNearest(spot(event));
    if (event.pointerType === "mouse" || hit === pointed) open(hit);
    else point(hit); // a first touch shows, a second one opens
  },
  pointercancel: (event) => fingers.delete(event.pointerId),
  pointerleave: (event) => { if (event.pointerType === "mouse") point(null); },
  wheel: (event) => {
    event.preventDefault();
    zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0016)), spot(event));
  },
  keydown: (event) => {
    if (!KEYS[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    KEYS[event.key]();
    point(findNearest(middle(), Infinity));
  },
  focus: () => { if (canvas.matches(":focus-visible")) point(findNearest(middle(), Infinity)); },
  blur: () => point(null),
};
for (const [kind, answer] of Object.entries(ANSWERS)) canvas.addEventListener(kind, answer, { passive: false });
document.querySelectorAll(".zoom button").forEach((button) => {
  button.addEventListener("click", () => zoom(Number(button.dataset.factor)));
});
buttons.forEach((button) => button.addEventListener("click", () => {
  alone = alone === button.dataset.label ? null : button.dataset.label;
  buttons.forEach((each) => { each.ariaPressed = String(each.dataset.label === alone); });
  draw();
}));
new ResizeObserver(draw).observe(canvas);
new MutationObserver(draw).observe(document.documentElement, { attributeFilter: ["data-theme"] });

askUntilReady(`/api/map?method=${find("#map").dataset.method}`, () => { wait.textContent = "Computing the map…"; })
  .then((answer) => {
    const places = new Map(buttons.map((button, row) => [button.dataset.label, row]));
    points = answer.points.map((each) => ({ ...each, style: places.get(each.label) ?? buttons.length }));
    wait.textContent = points.length ? "" : "There is no video in this index yet.";
    draw();
  })
  .catch((error) => { wait.textContent = `${error.message} ${error.remedy ?? ""}`; });
