// Small helpers, all optional: copy buttons, the purchase page that follows its payment, contents closed on a phone.
"use strict";

async function copy(text) {
  if (navigator.clipboard && window.isSecureContext) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea"); // plain http on another host has no clipboard API
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

function showCopyButtons() {
  for (const button of document.querySelectorAll("button.copy[hidden]")) button.hidden = false;
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button.copy");
  if (!button) return;
  const text = button.dataset.text ?? button.parentElement.querySelector("code").textContent;
  await copy(text);
  button.classList.add("done");
  setTimeout(() => button.classList.remove("done"), 1600);
});

const FOLLOWED = new Set(["pending", "ready", "running"]);

// Asks this page's own address for JSON; when the answer changes, takes the server's new page over as it is.
async function follow(previous, delay) {
  const article = document.querySelector("[data-follow]");
  if (!article || !FOLLOWED.has(article.dataset.follow)) return;
  await new Promise((done) => setTimeout(done, delay));
  let now = previous;
  if (!document.hidden) {
    try {
      const answer = await fetch(location.href, { headers: { Accept: "application/json" }, cache: "no-store" });
      const text = await answer.text();
      const status = JSON.parse(text).status;
      if (status !== article.dataset.follow || (previous !== null && text !== previous)) await refresh();
      now = text;
    } catch {
      // Offline or restarting: the next round asks again.
    }
  }
  follow(now, Math.min(delay * 1.15, 10000));
}

async function refresh() {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store" });
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  document.title = page.title;
  document.querySelector("main").replaceChildren(...page.querySelector("main").childNodes);
  showCopyButtons();
}

const contents = document.querySelector(".toc details");
if (contents && window.matchMedia("(max-width: 60rem)").matches) contents.open = false;

showCopyButtons();
follow(null, 1500);
