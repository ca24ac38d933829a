// One recording: its waveform, a player, and the way to be rid of it.

import { call } from "./api.js";
import { attempt } from "./app.js";
import { button, fill, h } from "./dom.js";
import { moment, number, t } from "./words.js";

const BARS = 96;

/** A row of the list; the sound is fetched when somebody wants to hear it, and that enters the activity. */
export function recordingRow(mine, recording, erase, review) {
  const at = moment(recording.at);
  const place = h("div", { class: "player" });
  const hear = async () => {
    await attempt(async () => {
      const sound = await call("GET", `${mine.path}/recordings/${recording.id}`, { blob: true });
      const canvas = h("canvas", { width: 384, height: 48, role: "img", "aria-label": t("recordings.wave", { at }) });
      const url = URL.createObjectURL(sound);
      mine.heard.push(url);
      const player = h("audio", { controls: true, src: url, "aria-label": t("recordings.player", { at }) });
      fill(place, canvas, player);
      draw(canvas, await decoded(sound));
      play.disabled = true;
      player.focus();
    });
  };
  const play = button(t("recordings.hear"), hear, "quiet", { "aria-label": t("recordings.hear.at", { at }) });
  return h("li", {},
    h("div", {}, h("strong", {}, at),
      h("p", { class: "hint" }, t(`recordings.${recording.kind}`), " · ", t("seconds", { seconds: number(recording.duration_s, 1) }),
        recording.expires_at ? ` · ${t("recordings.until", { at: moment(recording.expires_at) })}` : null), place),
    h("div", { class: "actions" }, play,
      review ? button(t("review.button"), review, "quiet", { "aria-label": t("review.title", { at }) }) : null,
      button(t("delete"), erase, "quiet danger", { "aria-label": t("recordings.delete", { at }) })));
}

async function decoded(sound) {
  const context = new OfflineAudioContext(1, 1, 16000);
  return (await context.decodeAudioData(await sound.arrayBuffer())).getChannelData(0);
}

function draw(canvas, samples) {
  const pen = canvas.getContext("2d");
  pen.fillStyle = getComputedStyle(canvas).color;
  const step = Math.max(1, Math.floor(samples.length / BARS));
  const wide = canvas.width / BARS;
  for (let bar = 0; bar < BARS; bar++) {
    let peak = 0;
    for (let i = bar * step; i < Math.min(samples.length, (bar + 1) * step); i++) peak = Math.max(peak, Math.abs(samples[i]));
    const tall = Math.max(2, peak * canvas.height);
    pen.fillRect(bar * wide + 1, (canvas.height - tall) / 2, wide - 2, tall);
  }
}
