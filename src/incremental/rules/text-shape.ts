// Would COPY give the same text for the same rows, as far as sessions, selection, versions and segments decide?
// Source: docs/formats/incremental.md.

import type { ServerPosition, TextShape } from "../types.ts";

/** Settings that decide about text or rows. A run whose `TextShape.settings` lack one takes nothing over. */
export const TEXT_SETTINGS = [
  "client_encoding",
  "DateStyle",
  "IntervalStyle",
  "TimeZone",
  "extra_float_digits",
  "bytea_output",
  "search_path",
  "quote_all_identifiers",
  "lc_monetary",
  "row_security",
] as const;

/** What a run is compared by. */
export interface RunFacts {
  readonly position: ServerPosition;
  readonly text: TextShape;
}

/** Why the parent's text may differ from what COPY gives now for the same rows; null: it may not. */
export function textDifference(then: RunFacts, now: RunFacts): string | null {
  return (
    rowSecurity(then.text, "when the parent was made") ??
    rowSecurity(now.text, "now") ??
    versionDifference(then, now) ??
    shapeDifference(then.text, now.text) ??
    settingsDifference(then.text.settings, now.text.settings)
  );
}

function rowSecurity({ settings, selection }: TextShape, when: string): string | null {
  const isOff = settingOf(settings, "row_security") === "off" && !selection.includes("--enable-row-security");
  return isOff ? null : `row_security is not off ${when}: which rows are seen depends on policies`;
}

function versionDifference(then: RunFacts, now: RunFacts): string | null {
  const [versionThen, versionNow] = [then.position.serverVersionNum, now.position.serverVersionNum];
  if (versionThen !== versionNow) return `another server version: ${versionThen} then, ${versionNow} now`;
  if (then.text.readerVersion === now.text.readerVersion) return null;
  return "this version of Cairn reads tables in another way than the parent's did";
}

function shapeDifference(then: TextShape, now: TextShape): string | null {
  if (then.segmentBlockCount !== now.segmentBlockCount) {
    return `segments of another size: ${then.segmentBlockCount} blocks then, ${now.segmentBlockCount} now`;
  }
  const isSame =
    then.selection.length === now.selection.length &&
    then.selection.every((flag, index) => flag === now.selection[index]);
  return isSame ? null : "another selection: the flags that say what is dumped are not the parent's";
}

function settingsDifference(then: TextShape["settings"], now: TextShape["settings"]): string | null {
  for (const name of new Set([...TEXT_SETTINGS, ...Object.keys(then), ...Object.keys(now)])) {
    const [valueThen, valueNow] = [settingOf(then, name), settingOf(now, name)];
    if (valueThen === undefined || valueNow === undefined) return `the setting ${name} is not known of both runs`;
    if (valueThen !== valueNow) return `another ${name}: "${valueThen}" then, "${valueNow}" now`;
  }
  return null;
}

function settingOf(settings: TextShape["settings"], name: string): string | undefined {
  return Object.hasOwn(settings, name) ? settings[name] : undefined;
}
