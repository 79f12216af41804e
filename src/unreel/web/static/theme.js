// Runs before the first paint: the theme that was chosen here earlier, if any.
const { dataset } = document.documentElement;
const isDark = () => dataset.theme === "dark" || (!dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);
try { dataset.theme = localStorage.getItem("theme") ?? ""; } catch { /* no storage: the system's theme it is */ }
addEventListener("DOMContentLoaded", () => {
  const button = document.querySelector(".theme");
  button.ariaPressed = String(isDark());
  button.addEventListener("click", () => {
    dataset.theme = isDark() ? "light" : "dark";
    button.ariaPressed = String(isDark());
    try { localStorage.setItem("theme", dataset.theme); } catch { /* it lasts as long as the page */ }
  });
});
