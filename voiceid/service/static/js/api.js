// The public API, as every other client sees it. A request says for which session of this browser it speaks.

/** A failure as the service tells it; `code` is stable. `offline`: it could not be reached. */
export class Problem extends Error {
  constructor(code, detail, facts = {}) {
    super(detail);
    this.code = code;
    this.facts = facts;
  }
}

/** The sessions of this browser: `{role, household, person, expires_at}` or null. */
export const sessions = { owner: null, person: null };

/** Ask the service which sessions there are. */
export async function findSessions() {
  const before = { ...sessions };
  const found = (await call("GET", "/v1/session")).sessions;
  for (const role of Object.keys(sessions)) {
    if (sessions[role] !== before[role]) continue; // somebody came in or left meanwhile
    sessions[role] = found.find((one) => one.role === role) ?? null;
    if (before[role] && !sessions[role]) tellEnd(role);
  }
  watch();
}

const LOOK_MS = [5000, 60000];
let looking = 0;

/** Look again when a session ends, and once a minute: a screen that others see must not go on showing what it showed. */
function watch() {
  clearTimeout(looking);
  const ends = Object.values(sessions).filter(Boolean).map((one) => Date.parse(one.expires_at) - Date.now());
  if (!ends.length) return;
  const wait = Math.min(LOOK_MS[1], Math.max(LOOK_MS[0], Math.min(...ends)));
  looking = setTimeout(() => findSessions().catch(watch), wait);
}

const tellEnd = (role) => window.dispatchEvent(new CustomEvent("session-ended", { detail: role }));

/** Redeem a one-time code; the session's token goes into a cookie that no script can read. */
export async function signIn(code) {
  const session = await call("POST", "/v1/session", { json: { code, cookie: true } });
  sessions[session.role] = session;
  watch();
  return session;
}

/** Come in with name and PIN on a screen that others use too; the session is short. */
export async function signInWithPin(name, pin) {
  const json = { name, pin, cookie: true, household: household() ?? null };
  sessions.person = await call("POST", "/v1/session/pin", { json });
  watch();
}

/** Where other devices reach this service: here, unless this is the machine itself and it also serves the home. */
export async function addressForOthers() {
  const onlyHere = ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);
  const url = onlyHere ? (await call("GET", "/v1/lan")).url : location.origin;
  return { url: url ?? location.origin, onlyHere: url === null };
}

/** End a session. */
export async function signOut(role) {
  await call("DELETE", "/v1/session", { as: role });
  sessions[role] = null;
}

/** Whose view this is: a person's where there is one. */
export const acting = () => (sessions.person ? "person" : "owner");
export const household = () => (sessions.person ?? sessions.owner)?.household;

/** One request. A path without a leading slash is one of the household's. `blob`: the body as it is. */
export async function call(method, path, { as = acting(), json, pcm, blob = false, keepalive = false, more = {} } = {}) {
  const headers = { "voiceid-session": as, ...more };
  if (json !== undefined) headers["content-type"] = "application/json";
  if (pcm !== undefined) headers["content-type"] = "audio/pcm;rate=16000;encoding=s16le;channels=1";
  const address = path.startsWith("/") ? path : `/v1/households/${household()}/${path}`;
  let response;
  try {
    response = await fetch(address, { method, headers, body: json === undefined ? pcm : JSON.stringify(json), keepalive, cache: "no-store" });
  } catch {
    throw new Problem("offline", "");
  }
  if (!response.ok) throw await problemOf(response, as);
  if (blob) return response.blob();
  return response.status === 204 ? null : response.json();
}

async function problemOf(response, as) {
  let told = {};
  try {
    told = await response.json();
  } catch {
    /* no problem document: the status must do */
  }
  const code = (told.type ?? `/problems/http-${response.status}`).split("/").pop();
  if (code === "not-authenticated" && sessions[as]) {
    sessions[as] = null;
    tellEnd(as);
  }
  return new Problem(code, told.detail ?? response.statusText, told);
}

/** All items of a paged list. */
export async function all(path, options) {
  const items = [];
  for (let cursor = ""; cursor !== null; ) {
    const page = await call("GET", `${path}?limit=200&cursor=${cursor}`, options);
    items.push(...page.items);
    cursor = page.next;
  }
  return items;
}

/** A live connection: `on(event)` for every event, `{type: "closed"}` at its end. */
export function listen(query, on) {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const asked = new URLSearchParams({ session: acting(), ...query });
  const socket = new WebSocket(`${scheme}//${location.host}/v1/households/${household()}/listen?${asked}`);
  socket.onmessage = ({ data }) => on(JSON.parse(data));
  socket.onclose = () => on({ type: "closed" });
  return socket;
}

/** A QR code of a text, as an image. */
export async function qrCode(text, alt) {
  const image = new Image();
  image.onload = image.onerror = () => URL.revokeObjectURL(image.src);
  image.src = URL.createObjectURL(await call("POST", "/v1/qr", { json: { text }, blob: true }));
  image.alt = alt;
  image.className = "qr";
  return image;
}
