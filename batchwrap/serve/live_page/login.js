"use strict";
const PAGE = "/batchwrap";
const field = document.getElementById("token");
const said = document.getElementById("said");

async function logIn(token) {
  said.textContent = "";
  try {
    const answer = await fetch(`${PAGE}/login`, { method: "POST", body: token });
    if (answer.ok) {
      location.replace(`${PAGE}?in`);
      return;
    }
    said.textContent = answer.status === 401 ? "This is not the token." : `Error ${answer.status}.`;
  } catch {
    said.textContent = "The server cannot be reached.";
  }
}

document.querySelector("form").addEventListener("submit", (event) => {
  event.preventDefault();
  logIn(field.value);
});

const linked = new URLSearchParams(location.hash.slice(1)).get("token");
if (linked) {
  history.replaceState(null, "", PAGE);
  logIn(linked);
} else if (!location.search) {
  // A link on another site is followed without the cookie; a request of this page's own has it.
  fetch(`${PAGE}/data`, { method: "HEAD" }).then((answer) => {
    if (answer.ok) location.replace(`${PAGE}?in`);
  }, () => {});
}
