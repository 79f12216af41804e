// Players: they start at the second that matched, and ask for another form of what the browser cannot play.
const calm = matchMedia("(prefers-reduced-motion: reduce)");

/** Return why a request was refused: the server's words, its status and the pause that it asks for. */
export function refusal(body, status, wait_sec) {
  const { message = `The server answered ${status}.`, remedy = "" } = body?.error ?? {};
  return Object.assign(new Error(message), { remedy, status, wait_sec: Number(wait_sec) || 0 });
}

/** Ask until the answer says that it is ready, telling on the way that it is not. */
export async function askUntilReady(address, tell) {
  for (;;) {
    const reply = await fetch(address).catch(() => { throw new Error("The server does not answer."); });
    const body = await reply.json().catch(() => null);
    if (!reply.ok) throw refusal(body, reply.status, reply.headers.get("Retry-After"));
    if (body.state === "failed") throw new Error(body.reason);
    if (body.state === "ready") return body;
    tell();
    await new Promise((done) => setTimeout(done, 700));
  }
}

const note = (player, text) => Object.assign(player.querySelector(".note"), { textContent: text, hidden: !text });

const explain = (player, { message, remedy }) => note(player, remedy ? `${message}; ${remedy}` : message);

/** Find a form of the video that this browser plays; wait while it is being made. */
async function prepare(player, video) {
  const address = `/api/videos/${encodeURIComponent(player.dataset.id)}/playback`;
  const { url } = await askUntilReady(address, () => note(player, "Preparing this video for your browser…"));
  if (video.getAttribute("src")?.split("#")[0] === url) throw new Error("This browser cannot play the video.");
  note(player, "");
  video.src = `${url}#t=${player.dataset.start}`;
}

/** Play from the second that matched; a look, under the mouse, is without sound and without controls. */
async function play(player, isLook = false) {
  const video = player.querySelector("video");
  video.muted = isLook;
  if (!isLook) {
    player.querySelector(".play").hidden = video.controls = true;
    video.focus();
  }
  try {
    if (!video.getAttribute("src")) await prepare(player, video);
    await video.play();
  } catch (error) { // "NotSupportedError" comes with an error event, which is answered below
    if (!isLook && !["AbortError", "NotSupportedError"].includes(error.name)) explain(player, error);
  }
}

/** Make players pictures with a play button, until they are asked to play. */
export function upgrade(part) {
  for (const player of part.querySelectorAll(".player:has(.play)")) {
    const [video, button] = [player.querySelector("video"), player.querySelector(".play")];
    let timer = button.hidden = video.controls = false;
    button.addEventListener("click", () => { clearTimeout(timer); play(player); });
    player.addEventListener("pointerleave", () => { clearTimeout(timer); if (!button.hidden) video.pause(); });
    player.addEventListener("pointerenter", (event) => {
      const isWanted = event.pointerType === "mouse" && !calm.matches && !button.hidden && video.hasAttribute("src");
      if (isWanted) timer = setTimeout(() => play(player, true), 250);
    });
  }
}

document.addEventListener("error", async ({ target }) => {
  const player = target.tagName === "VIDEO" && target.closest(".player");
  if (!player) return;
  if (!player.dataset.id) return note(player, "This browser cannot show the file; the search can still read it.");
  try {
    await prepare(player, target);
    if (target.controls) await target.play();
  } catch (error) {
    explain(player, error);
  }
}, true);
document.addEventListener("click", (event) => {
  const moment = event.target.closest("a.moment");
  if (!moment) return;
  event.preventDefault();
  const player = document.querySelector(".watch .player");
  player.dataset.start = player.querySelector("video").currentTime = moment.dataset.start;
  play(player);
});
upgrade(document);
