const at = (id) => document.querySelector(`[data-testid=${id}]`);

// Asks the server; a query by GET, all else by POST.
window.ask = async (query, variables = {}) => {
  const response = await fetch("/graphql", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ query, variables }),
  });
  return (await response.json()).data;
};

async function show() {
  const query = new URLSearchParams(location.search);
  const variables = {
    name: decodeURIComponent(location.pathname.split("/")[2]),
    a: query.getAll("a[]"),
    q: query.get("q"),
  };
  const text =
    "query ($name: String!, $a: [String!]!, $q: String) { seen(name: $name, a: $a, q: $q) }";
  const search = new URLSearchParams({ query: text, variables: JSON.stringify(variables) });
  const response = await fetch(`/graphql?${search}`);
  const seen = document.createElement("pre");
  seen.dataset.testid = "seen";
  seen.textContent = (await response.json()).data.seen;
  document.body.append(seen);
}

document.querySelector("#say").addEventListener("submit", async (event) => {
  event.preventDefault();
  const { text } = Object.fromEntries(new FormData(event.target));
  const { say } = await window.ask("mutation ($text: String!) { say(text: $text) }", { text });
  at("said").textContent = say;
});

// As the GraphQL multipart request specification has it.
document.querySelector("#upload").addEventListener("click", async () => {
  const form = new FormData();
  const query = "mutation ($file: File!) { upload(file: $file) }";
  form.set("operations", JSON.stringify({ query, variables: { file: null } }));
  form.set("map", JSON.stringify({ 0: ["variables.file"] }));
  form.set("0", at("file").files[0]);
  const response = await fetch("/graphql", { method: "POST", body: form });
  at("uploaded").textContent = (await response.json()).data.upload;
});

await show();
document.documentElement.dataset.ready = "";
