// The search page. The server renders each state of it at an address of its own; this script sends files, fetches the
// next state and puts it in place, so that the chosen file stays and the back button works.
import { refusal, upgrade } from "./playback.js";

const find = (selector, part = document) => part.querySelector(selector);
const findAll = (selector) => [...document.querySelectorAll(selector)];
const form = find("#search");
const ENDS = ["start_sec", "end_sec"];
const sent = new Map(); // id of a query: what it was made of
let [file, fileUrl] = [null, ""]; // the one on show
let turn = 0; // states that were overtaken are dropped

function say(text, share = -1) {
  const [line, bar] = find("#state").children;
  [line.textContent, bar.hidden, bar.value] = [text, share < 0, Math.max(share, 0)];
}

/** Tell what went wrong, with a button to try again. */
function complain({ message, remedy = "", wait_sec = 0 }, again = null) {
  const [line, advice, button] = find("#problem").children;
  [line.textContent, advice.textContent] = [message, remedy];
  [button.hidden, button.disabled, button.onclick] = [!again, wait_sec > 0, again];
  setTimeout(() => { button.disabled = false; }, 1000 * wait_sec);
  say("");
}

/** Return the address of the search that the form describes; fields left empty are left out. */
const describeForm = () => "/?" + new URLSearchParams([...new FormData(form)].filter(([, value]) => value.trim()));

/** Show another state of the page. */
async function show(address, isNew = true) {
  const own = ++turn;
  const { id } = document.activeElement;
  find("#results").ariaBusy = "true";
  say("Searching…");
  try {
    const reply = await fetch(address);
    const page = new DOMParser().parseFromString(await reply.text(), "text/html");
    if (own !== turn) return;
    if (!find("#results", page)) return location.assign(address);
    if (isNew) history.pushState(null, "", address);
    document.title = page.title;
    for (const part of ["#query", "#problem", "#filters", "#results"]) {
      find(part).replaceWith(document.adoptNode(find(part, page)));
      upgrade(find(part));
    }
    mount();
    ((id !== "go" && document.getElementById(id)) || find("#found")).focus();
    say(`${find("#found").textContent}. ${find("#told").textContent}`);
  } catch {
    find("#results").ariaBusy = "false";
    complain({ message: "The server does not answer." }, () => show(address, isNew));
  }
}

/** Give the query on show its file back, if it came from here, and its handles. */
function mount() {
  const id = find("#query [name=query]")?.value;
  if (sent.has(id)) return showFile(sent.get(id).file, sent.get(id).ends, id);
  file = null;
  addHandles();
}

/** Show a file in place of the query; nothing is sent before the search. */
function showFile(chosen, ends = ["", ""], id = "") {
  URL.revokeObjectURL(fileUrl);
  [file, fileUrl] = [chosen, URL.createObjectURL(chosen)];
  find("#query").replaceChildren(find("#chosen").content.cloneNode(true));
  find("#query .of span").textContent = file.name;
  find("#query [name=query]").value = id;
  ENDS.forEach((name, end) => { find(`#query [name=${name}]`).value = ends[end]; });
  addHandles();
}

function choose(chosen) {
  const { maxMb } = form.dataset;
  if (chosen.size > 2 ** 20 * maxMb) return complain({ message: `The file is too large: at most ${maxMb} MB.` });
  complain({ message: "" });
  showFile(chosen);
  say(`${chosen.name} is chosen.`);
  find("#query .button").focus();
}

/** Tie handles, fields and the moment shown together; a field left empty stands for the end of the video. */
function addHandles() {
  const [video, handles] = [find("#query video"), findAll("#query [type=range]")];
  if (!video) return;
  if (file) video.src = fileUrl;
  const fields = ENDS.map((name) => find(`#query [name=${name}]`));
  const follow = (end) => { handles[end].value = fields[end].value || (end ? handles[1].max : 0); };
  const start = (seconds) => {
    if (!(seconds > 0 && seconds < Infinity)) return;
    findAll("#query .trim [hidden]").forEach((part) => { part.hidden = false; });
    handles.forEach((handle, end) => { handle.max = Math.ceil(10 * seconds) / 10; follow(end); });
  };
  const set = (end, seconds) => {
    handles[end].value = Math[end ? "max" : "min"](seconds, handles[1 - end].value);
    const isOpen = handles[end].value === handles[end][end ? "max" : "min"];
    fields[end].value = isOpen ? "" : handles[end].value;
  };
  handles.forEach((handle, end) => handle.addEventListener("input", () => {
    set(end, Number(handle.value));
    video.currentTime = handle.value;
  }));
  fields.forEach((field, end) => field.addEventListener("input", () => follow(end)));
  findAll("#query .set").forEach((button, end) => button.addEventListener("click", () => set(end, video.currentTime)));
  start(Number(handles[1].max));
  video.addEventListener("loadedmetadata", () => start(video.duration));
}

const listEnds = () => ENDS.map((name) => find(`#query [name=${name}]`)?.value.trim() ?? "");

/** Whether the file on show, or the part of it, is not what the query on show was made of. */
function isUnsent() {
  const known = sent.get(find("#query [name=query]")?.value);
  return file && known?.ends.join() !== listEnds().join();
}

/** Send the file on show, and search with the id that stands for it. */
function send() {
  const own = { file, ends: listEnds() };
  const data = new FormData();
  own.ends.forEach((value, end) => { if (value) data.append(ENDS[end], value); });
  data.append("file", file, file.name);
  const request = new XMLHttpRequest(); // fetch does not tell how much was sent
  request.upload.onprogress = ({ loaded, total }) => {
    say(loaded < total ? `Sending, ${Math.round((100 * loaded) / total)} %` : "Reading the video…", loaded / total);
  };
  request.onerror = () => complain({ message: "The file could not be sent." }, send);
  request.onload = () => {
    const { status, response } = request;
    if (status !== 201) return complain(refusal(response, status, request.getResponseHeader("Retry-After")), send);
    sent.set(response.query_id, own);
    const wanted = new URLSearchParams(describeForm().slice(2));
    ["video", ...ENDS].forEach((name) => wanted.delete(name));
    wanted.set("query", response.query_id);
    show(`/?${wanted}`);
  };
  complain({ message: "" });
  request.responseType = "json";
  request.open("POST", "/api/queries");
  request.send(data);
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  return isUnsent() ? send() : show(describeForm());
});
form.addEventListener("change", ({ target }) => {
  if (target.files?.length) choose(target.files[0]);
  else if (target.closest("#filters") && !isUnsent()) show(describeForm());
});
document.addEventListener("click", (event) => {
  const link = event.target.closest("main a[href^='/?'], main a[href='/']");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  show(link.getAttribute("href"));
});
for (const kind of ["dragover", "drop"]) { // a file that misses its place must not replace the page
  addEventListener(kind, (event) => { if (event.target.id !== "file") event.preventDefault(); });
}
addEventListener("popstate", () => show(location.pathname + location.search, false));
find(".filters").open = innerWidth > 860;
addHandles();
