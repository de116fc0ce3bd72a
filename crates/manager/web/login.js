// Shows the cluster token once, for a cookie; then the page itself is there.

const problem = document.getElementById("problem");

document.getElementById("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  const field = document.getElementById("token");
  problem.textContent = "";
  try {
    const answer = await fetch("/api/login", {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Lazycopy": "page" },
      body: JSON.stringify({ token: field.value.trim() }),
    });
    if (answer.ok) return location.reload();
    problem.textContent = (await answer.json()).error;
  } catch {
    problem.textContent = "The manager does not answer.";
  }
  field.select();
});
