"use strict";
/**
 * Runs `chatquota emulator` for tests in Node.
 *
 *   const { startEmulator } = require(path);   // path: what `chatquota emulator --node-helper` prints
 *   const service = await startEmulator({ rate: 20, "StopContact.rate": 5 });
 *   ...  service.endpoint, service.credentials, service.chats() ...
 *   await service.close();
 *
 * It needs no npm package and Node 18 or later. The emulator ends with this process, however that ends.
 */
const { spawn } = require("node:child_process");
const { mkdtempSync, rmSync, writeFileSync } = require("node:fs");
const http = require("node:http");
const https = require("node:https");
const { tmpdir } = require("node:os");
const path = require("node:path");
const { readFileSync } = require("node:fs");

class EmulatorError extends Error {
  constructor(message, status) {
    super(message);
    this.name = "EmulatorError";
    this.status = status;
  }
}

class Emulator {
  constructor(child, where, directory) {
    this.child = child;
    this.directory = directory;
    this.endpoint = where.endpoint;
    this.region = where.region;
    this.instanceId = where.instance_id;
    this.contactFlowId = where.contact_flow_id;
    this.credentials = { accessKeyId: where.access_key_id, secretAccessKey: where.secret_access_key };
    /** The file that trusts its certificate (NODE_EXTRA_CA_CERTS); undefined without tls. */
    this.caBundle = where.ca_bundle;
  }

  /** Options for any client of AWS SDK for JavaScript: endpoint, region, credentials, one attempt a call. */
  get clientOptions() {
    return { endpoint: this.endpoint, region: this.region, credentials: this.credentials, maxAttempts: 1 };
  }

  /** Environment variables with which a program that you start calls this emulator. */
  get environment() {
    const variables = {
      AWS_ACCESS_KEY_ID: this.credentials.accessKeyId,
      AWS_SECRET_ACCESS_KEY: this.credentials.secretAccessKey,
      AWS_REGION: this.region,
      AWS_DEFAULT_REGION: this.region,
      AWS_ENDPOINT_URL_CONNECT: this.endpoint,
      AWS_ENDPOINT_URL_CONNECTPARTICIPANT: this.endpoint,
    };
    return this.caBundle ? { ...variables, NODE_EXTRA_CA_CERTS: this.caBundle } : variables;
  }

  /** The chats that it has seen, newest first. `until` waits: started, connected, ended, agent, messages=N, message=REGEX. */
  async chats({ state, attributes = {}, until, timeout = 10 } = {}) {
    const query = new URLSearchParams({ full: "yes" });
    for (const [key, value] of Object.entries(attributes)) query.set(`attribute.${key}`, value);
    if (state) query.set("state", state);
    if (until) { query.set("until", until); query.set("timeout", String(timeout)); }
    return (await this.ask("GET", `chats?${query}`)).chats;
  }

  /** One chat, once it is as `until` says. */
  async chat(contactId, { until, timeout = 10 } = {}) {
    const query = until ? `?${new URLSearchParams({ until, timeout: String(timeout) })}` : "";
    return this.ask("GET", `${page(contactId)}${query}`);
  }

  /** Say something in a chat as an agent, or in another role (SYSTEM, CUSTOM_BOT, SUPERVISOR). */
  async say(contactId, content, { role = "AGENT", name = "", contentType = "text/plain" } = {}) {
    const message = { Content: content, ContentType: contentType, ParticipantRole: role, DisplayName: name };
    await this.ask("POST", `${page(contactId)}/messages`, JSON.stringify(message));
  }

  /** End a chat from the other side. */
  async end(contactId, reason = "AGENT_DISCONNECT") {
    await this.ask("POST", `${page(contactId)}/end`, JSON.stringify({ DisconnectReason: reason }));
  }

  /** Change settings while chats go on. */
  async settings(changes) { await this.ask("POST", "settings", this.spec(changes)); }

  /** Let time (seconds, or a text such as "5m") pass at once for the emulator. */
  async advance(time) { await this.ask("POST", "clock", JSON.stringify({ advance: String(time) })); }

  /** Forget all chats and go back to the settings of the start, changed by `settings`. */
  async reset(settings = {}) { await this.ask("POST", "reset", this.spec(settings)); }

  /** Settings, limits with their levels, counts of answers, open chats. */
  async state() { return this.ask("GET", "state"); }

  /** End the process. */
  async close() {
    if (this.child.exitCode === null && this.child.signalCode === null) {
      const ended = new Promise((resolve) => this.child.once("exit", resolve));
      this.child.stdin.end();
      const late = setTimeout(() => this.child.kill("SIGKILL"), 10_000);
      await ended;
      clearTimeout(late);
    }
    rmSync(this.directory, { recursive: true, force: true });
  }

  spec(settings) { return specification(settings, this.directory); }

  ask(method, page, body) {
    const url = new URL(`${this.endpoint}/_emulator/${page}`);
    const options = { method, agent: false };
    if (this.caBundle) options.ca = readFileSync(this.caBundle);
    return new Promise((resolve, reject) => {
      const request = (url.protocol === "https:" ? https : http).request(url, options, (answer) => {
        const pieces = [];
        answer.on("data", (piece) => pieces.push(piece));
        answer.on("error", reject);
        answer.on("end", () => {
          const text = Buffer.concat(pieces).toString() || "{}";
          let said;
          try { said = JSON.parse(text); } catch { said = { message: text }; }
          if (answer.statusCode === 200) resolve(said);
          else reject(new EmulatorError(said.message, answer.statusCode));
        });
      });
      request.on("error", (problem) => {
        const ended = this.child.exitCode ?? this.child.signalCode;
        const how = ended === null ? "does not answer" : `has ended with exit code ${ended}`;
        reject(new EmulatorError(`the emulator at ${this.endpoint} ${how}: ${problem.message}`));
      });
      request.end(body);
    });
  }
}

function page(contactId) {
  if (!contactId) throw new EmulatorError("the contact id is empty");
  return `chats/${encodeURIComponent(contactId)}`;
}

function specification(settings, directory) {
  return Object.entries(settings).map(([key, value]) => {
    if (value !== null && typeof value === "object") {
      const file = path.join(directory, `${key}-${process.hrtime.bigint()}.json`);
      writeFileSync(file, JSON.stringify(value));
      value = file;
    } else if (key === "flow" && value) {
      value = path.resolve(String(value));
    } else if (typeof value === "boolean") {
      value = value ? "yes" : "no";
    }
    return `${key}="${String(value).replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
  }).join(",");
}

/**
 * Start an emulator. `settings` are those of `chatquota emulator --list-settings`; `flow` may also be an object.
 * `tls` serves https:// and wss://; `command` is how the program is called.
 */
async function startEmulator(settings = {}, { command = ["chatquota", "emulator"], tls = false } = {}) {
  const directory = mkdtempSync(path.join(tmpdir(), "chatquota-emulator-"));
  const [program, ...first] = command;
  const parameters = [...first, "--lifeline"];
  if (Object.keys(settings).length) parameters.push("--emulator", specification(settings, directory));
  if (tls) parameters.push("--tls");
  const child = spawn(program, parameters, { stdio: ["pipe", "pipe", "pipe"] });
  let said = "", complaint = "";
  child.stderr.on("data", (piece) => { complaint += piece; });
  child.stdin.on("error", () => {});
  const line = await new Promise((resolve, reject) => {
    const fail = (text) => {
      rmSync(directory, { recursive: true, force: true });
      reject(new EmulatorError(text));
    };
    child.once("error", (problem) => fail(`cannot run ${command.join(" ")}: ${problem.message}; pip install chatquota`));
    child.once("close", () => fail(complaint.trim() || "the emulator ended at once"));
    child.stdout.on("data", (piece) => {
      said += piece;
      if (said.includes("\n")) resolve(said.slice(0, said.indexOf("\n")));
    });
  });
  for (const each of [child, child.stdin, child.stdout, child.stderr]) each.unref();
  return new Emulator(child, JSON.parse(line), directory);
}

module.exports = { startEmulator, Emulator, EmulatorError };
