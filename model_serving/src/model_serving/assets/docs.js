"use strict";
// Renders /openapi.json and lets a person try each call. Text is only ever set as text.
(async () => {
  const root = document.getElementById("operations");
  const make = (tag, text, attributes = {}) => {
    const element = document.createElement(tag);
    if (text) element.textContent = text;
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  };
  let api;
  try {
    api = await (await fetch("/openapi.json")).json();
  } catch (error) {
    root.append(make("p", "openapi.json could not be read: " + error.message, { role: "alert" }));
    return;
  }
  const resolve = (schema, depth = 0) => {
    if (!schema || depth > 6) return {};
    if (schema.$ref) return resolve(api.components.schemas[schema.$ref.split("/").pop()], depth + 1);
    return schema;
  };
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const id = "op-" + operation.operationId;
      const section = make("details", "", { id });
      const summary = make("summary");
      summary.append(make("code", method.toUpperCase() + " " + path), make("span", " " + operation.summary));
      section.append(summary);
      const form = make("form", "", { action: path, method });
      const headers = {}, inPath = {};
      for (const parameter of operation.parameters || []) {
        const input = make("input", "", { id: id + parameter.name, name: parameter.name, type: "text" });
        if (parameter.required) input.required = true;
        (parameter.in === "path" ? inPath : headers)[parameter.name] = input;
        form.append(make("label", parameter.name, { for: id + parameter.name }), input);
      }
      if (operation.security) {
        const input = make("input", "", { id: id + "token", type: "password", autocomplete: "off" });
        headers.Authorization = input;
        form.append(make("label", "Bearer token", { for: id + "token" }), input);
      }
      let body = null;
      const content = operation.requestBody && operation.requestBody.content["application/json"];
      if (content) {
        body = make("textarea", "", { id: id + "body", rows: "10", spellcheck: "false" });
        body.value = JSON.stringify(content.example || {}, null, 2);
        form.append(make("label", "Body (JSON)", { for: id + "body" }), body);
      }
      const output = make("pre", "", { tabindex: "0", "aria-live": "polite" });
      form.append(make("button", "Send", { type: "submit" }));
      form.addEventListener("submit", async (event) => {
        event.preventDefault();
        const sent = {};
        let address = path;
        for (const [name, input] of Object.entries(inPath)) {
          address = address.replace("{" + name + "}", encodeURIComponent(input.value));
        }
        for (const [name, input] of Object.entries(headers)) {
          if (input.value) sent[name] = name === "Authorization" ? "Bearer " + input.value : input.value;
        }
        if (body) sent["Content-Type"] = "application/json";
        const started = performance.now();
        try {
          const answer = await fetch(address, { method: method.toUpperCase(), headers: sent, body: body && body.value });
          let text = await answer.text();
          try { text = JSON.stringify(JSON.parse(text), null, 2); } catch { /* shown as it came */ }
          const took = (performance.now() - started).toFixed(1);
          output.textContent = answer.status + " " + answer.statusText + " in " + took + " ms\n\n" + text.slice(0, 200000);
        } catch (error) {
          output.textContent = String(error);
        }
      });
      section.append(form, output);
      const answers = make("dl");
      for (const [status, answer] of Object.entries(operation.responses)) {
        const media = answer.content && Object.values(answer.content)[0];
        const schema = media && (media.schema.$ref || (media.schema.anyOf || []).map((s) => s.$ref).join(", "));
        answers.append(make("dt", status), make("dd", answer.description + (schema ? ": " + schema.replaceAll("#/components/schemas/", "") : "")));
      }
      section.append(answers);
      root.append(section);
    }
  }
  const schemas = make("section");
  schemas.append(make("h2", "Schemas"));
  for (const [name, schema] of Object.entries(api.components.schemas)) {
    const details = make("details", "", { id: "schema-" + name });
    details.append(make("summary", name), make("p", resolve(schema).description || ""));
    details.append(make("pre", JSON.stringify(schema, null, 2), { tabindex: "0" }));
    schemas.append(details);
  }
  root.append(schemas);
  root.dataset.ready = "yes";
})();
