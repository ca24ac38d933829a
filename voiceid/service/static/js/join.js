// Join: agree or not, read a few sentences, try it. Nothing is sent before a yes, nothing half-done is kept.

import { call, Problem, sessions } from "./api.js";
import { attempt, explain, go, tell } from "./app.js";
import { button, fill, h, s } from "./dom.js";
import { whoIsSpeaking } from "./home.js";
import { Clip, microphoneFault, openMicrophone } from "./microphone.js";
import { has, language, number, t } from "./words.js";

export async function show(content, [someone]) {
  const person = someone ?? sessions.person.person;
  const mine = person === sessions.person.person;
  const detail = (await call("GET", `people/${person}`)).entry;
  const flow = { content, person, mine, name: detail.display_name, kind: detail.kind, leave: async () => {} };
  await askConsent(flow);
  return () => flow.leave();
}

function step(flow, number_, title, ...children) {
  const heading = h("h1", { tabindex: "-1" }, title);
  fill(flow.content, h("p", { class: "steps" }, t("join.step", { number: number_ })), heading, ...children);
  if (heading.isConnected) heading.focus();
}

async function askConsent(flow) {
  const policy = await call("GET", `/v1/policy?language=${language}`);
  const now = await call("GET", `people/${flow.person}/consents`);
  const granted = new Set(now.purposes.filter((one) => one.granted).map((one) => one.purpose));
  const needed = policy.needed_for_voice_id;
  if (needed.every((purpose) => granted.has(purpose))) return takes(flow);
  const offered = policy.purposes.filter(({ purpose, offered_to_children: children }) =>
    !purpose.startsWith("share:") && (flow.kind === "adult" || children));
  const switches = new Map(offered.map(({ purpose }) =>
    [purpose, h("input", { type: "checkbox", role: "switch", checked: granted.has(purpose), name: purpose })]));
  const decide = (chosen) => attempt(async () => {
    for (const [purpose, box] of switches) {
      const yes = chosen && box.checked;
      const decision = { decision: yes ? "granted" : "denied", policy_version: policy.version, language, method: "screen" };
      await call("PUT", `people/${flow.person}/consents/${purpose}`, { json: decision });
    }
    if (chosen && needed.every((purpose) => switches.get(purpose).checked)) await takes(flow);
    else saidNo(flow, [...switches].some(([, box]) => chosen && box.checked));
  });
  step(flow, 1, flow.mine ? policy.title : t("join.for", { name: flow.name }),
    h("p", { class: "lead" }, policy.without),
    h("ul", { class: "purposes" }, offered.map((one) => purposeCard(one, switches.get(one.purpose), needed))),
    h("p", { class: "hint" }, policy.where), h("p", { class: "hint" }, policy.withdraw.replaceAll("`", "")),
    h("div", { class: "pair" },
      button(t("join.no"), () => decide(false), "choice"),
      button(t("join.yes"), () => decide(true), "choice")));
  return null;
}

function purposeCard(one, box, needed) {
  box.id = `purpose-${one.purpose}`;
  box.setAttribute("aria-describedby", `${box.id}-text`);
  return h("li", { class: "card purpose" },
    h("div", { class: "switch" }, h("label", { for: box.id }, one.title), box),
    h("div", { id: `${box.id}-text` },
      h("p", {}, one.text),
      h("p", { class: "hint" }, t("join.collected"), " ", one.collected),
      needed.includes(one.purpose) ? h("p", { class: "hint" }, t("join.needed")) : null));
}

function saidNo(flow, some) {
  step(flow, 1, t("no.title"), h("p", { class: "lead" }, t("no.text")),
    some ? h("p", {}, t("no.some")) : null,
    h("div", { class: "pair" },
      button(t("no.back"), () => attempt(() => askConsent(flow))),
      button(t("nav.home"), () => go("#home"), "primary")));
}

function ring() {
  const length = 2 * Math.PI * 52;
  const done = s("circle", { cx: 60, cy: 60, r: 52, class: "done", "stroke-dasharray": length, "stroke-dashoffset": length,
    transform: "rotate(-90 60 60)" });
  const count = s("text", { x: 60, y: 68, "text-anchor": "middle" }, "");
  const drawing = s("svg", { viewBox: "0 0 120 120", class: "ring", role: "img" },
    s("circle", { cx: 60, cy: 60, r: 52, class: "track" }), done, count);
  return {
    drawing,
    set(progress) {
      const share = Math.min(1, progress.takes / progress.takes_needed, progress.speech_s / progress.speech_needed_s);
      done.setAttribute("stroke-dashoffset", length * (1 - share));
      count.textContent = `${progress.takes}/${progress.takes_needed}`;
      drawing.setAttribute("aria-label", t("takes.progress", {
        takes: progress.takes, needed: progress.takes_needed, speech: number(progress.speech_s, 1),
        speech_needed: number(progress.speech_needed_s, 0),
      }));
    },
  };
}

/** The guided takes. The microphone opens with the first sentence and closes when this screen is left. */
async function takes(flow) {
  const seen = ring();
  const sentence = h("p", { class: "sentence", lang: language }, t("takes.before"));
  const advice = h("p", { class: "advice", role: "status" });
  const bar = h("div", { class: "bar" });
  const meter = h("div", { class: "meter", role: "meter", "aria-label": t("takes.level"), "aria-valuemin": -60, "aria-valuemax": 0,
    "aria-valuenow": -60 }, bar);
  const state = { enrollment: null, microphone: null, clip: null, recent: [], progress: null, busy: false, over: false };
  seen.set({ takes: 0, takes_needed: 4, speech_s: 0, speech_needed_s: 8 });

  const say = (text, kind = "", take = "going on") => {
    advice.className = `advice ${kind}`;
    advice.dataset.take = take;
    fill(advice, text);
  };

  function onChunk(chunk) {
    const level = Math.max(-60, Math.min(0, chunk.level));
    bar.style.width = `${(level + 60) / 0.6}%`;
    meter.setAttribute("aria-valuenow", Math.round(level));
    if (!state.clip) {
      state.recent = [...state.recent, chunk].slice(-8); // whoever starts early is not cut off
      return;
    }
    const over = state.clip.add(chunk);
    const now = state.clip.advice();
    if (now) say(t(now), "bad");
    if (over) send();
  }

  async function record() {
    if (state.busy) return;
    state.busy = true;
    const ready = (await hearing()) && (state.enrollment || (await begin()));
    state.busy = false;
    if (!ready) return;
    state.clip = new Clip();
    state.recent.forEach((chunk) => state.clip.add(chunk));
    say(t("takes.reading"));
    fill(press, t("takes.stop"));
  }

  /** Whether the microphone is open; one that opens after this screen was left is closed at once. */
  async function hearing() {
    if (state.microphone) return true;
    try {
      state.microphone = await openMicrophone(onChunk);
    } catch (error) {
      say(t(microphoneFault(error)), "bad", "lost");
      return false;
    }
    if (state.over) close();
    return !state.over;
  }

  async function begin() {
    try {
      const started = await call("POST", `people/${flow.person}/enrollments`, { json: { locale: language } });
      state.enrollment = started.id;
      if (state.over) {
        await abandon();
        return false;
      }
      state.progress = started.progress;
      fill(sentence, started.prompts[0]);
      seen.set(started.progress);
      return true;
    } catch (error) {
      say(explain(error), "bad");
      return false;
    }
  }

  async function send() {
    const pcm = state.clip.bytes();
    state.clip = null;
    state.recent = [];
    state.busy = true;
    press.disabled = true;
    say(t("takes.listening"));
    try {
      const result = await call("POST", `people/${flow.person}/enrollments/${state.enrollment}/takes`, { pcm });
      took(result);
    } catch (error) {
      lost(error);
    }
    state.busy = false;
    press.disabled = false;
  }

  function took(result) {
    if (state.over) return;
    seen.set(result.progress);
    const enough = result.progress.takes >= result.progress.takes_needed && result.progress.speech_s >= result.progress.speech_needed_s;
    if (result.accepted && enough) {
      attempt(complete);
      return;
    }
    if (result.next_prompt) fill(sentence, result.next_prompt);
    fill(press, t(result.accepted ? "takes.next" : "takes.again"));
    if (result.accepted) say(t("takes.good", { more: result.progress.takes_needed - result.progress.takes }), "good", "accepted");
    else say(whatWasWrong(result), "bad", "refused");
    press.focus();
  }

  /** The clip is thrown away; what can go on goes on, what cannot is ended and said so. */
  function lost(error) {
    if (state.over) return;
    fill(press, t("takes.again"));
    say(error instanceof Problem && error.code === "offline" ? t("takes.offline") : explain(error), "bad", "lost");
    if (error instanceof Problem && ["enrollment-closed", "consent-missing"].includes(error.code)) {
      state.enrollment = null;
      seen.set({ takes: 0, takes_needed: 4, speech_s: 0, speech_needed_s: 8 });
      fill(sentence, t("takes.before"));
      fill(press, t("takes.start"));
    }
  }

  async function complete() {
    const made = await call("POST", `people/${flow.person}/enrollments/${state.enrollment}/complete`);
    state.enrollment = null;
    close();
    tryIt(flow, made.voiceprint);
  }

  function close() {
    state.microphone?.close();
    state.microphone = state.clip = null;
  }

  async function abandon() {
    state.over = true;
    close();
    window.removeEventListener("pagehide", abandon);
    const enrollment = state.enrollment;
    state.enrollment = null;
    if (enrollment && sessions.person) {
      try {
        await call("DELETE", `people/${flow.person}/enrollments/${enrollment}`, { keepalive: true });
      } catch {
        /* the clock erases it: an unfinished enrollment lives for minutes */
      }
    }
  }

  window.addEventListener("pagehide", abandon);
  flow.leave = abandon;
  const press = button(t("takes.start"), () => (state.clip ? send() : record()), "big primary");
  step(flow, 2, t("takes.title"),
    h("p", { class: "lead" }, t("takes.lead")),
    h("section", { class: "card take", "aria-label": t("takes.title") }, seen.drawing, sentence, meter, press, advice),
    h("div", { class: "pair" },
      button(t("takes.over"), async () => {
        await abandon();
        tell(t("takes.gone"));
        await attempt(() => takes(flow));
      }, "quiet"),
      button(t("takes.cancel"), () => go("#home"), "quiet")));
}

function whatWasWrong(result) {
  const reason = result.reasons[0];
  const { speech_s: speech, level_dbfs: level, snr_db: snr } = result.quality;
  const blanks = { speech: number(speech, 1), more: number(Math.max(0.1, 1 - speech), 1), level: number(level), snr: number(snr) };
  return has(`fault.${reason}`) ? t(`fault.${reason}`, blanks) : result.advice;
}

function tryIt(flow, voiceprint) {
  const live = whoIsSpeaking(t("try.title"));
  flow.leave = async () => live.stop();
  step(flow, 3, t("try.done", { name: flow.name }),
    h("p", { class: "lead" }, t("try.lead")),
    live.element,
    h("p", { class: "hint" }, t("try.made", { takes: voiceprint.takes })),
    h("div", { class: "pair" },
      button(t("nav.voice"), () => go(flow.mine ? "#voice" : `#voice/${flow.person}`)),
      button(t("nav.home"), () => go("#home"), "primary")));
}
