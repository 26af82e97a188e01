// What a user's reference to a restore point means: an id, a unique prefix of one, `latest`, `LINEAGE@latest`,
// `LINEAGE@TIME` (newest at or before). Pure: it is handed what there is.

import { OperatingError } from "../base/errors.ts";
import { isId, timeOfId } from "./identifiers.ts";
import type { LineageFacts } from "./lineages.ts";
import { SHORT_KEY_DIGITS } from "./lineages.ts";

const LISTED_MAX = 20;
const ID_PREFIX_PATTERN = /^\d{1,8}(?:T\d{0,6}(?:Z(?:-[0-9a-z]{0,8})?)?)?$/;
const TIME_PATTERN = /^\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?$/;

/** A restore point by its place. */
export interface RestorePointPlace {
  readonly lineageKey: string;
  readonly id: string;
}

/** True when the names of lineages are needed to resolve the reference. */
export function needsLineages(reference: string): boolean {
  return !ID_PREFIX_PATTERN.test(reference);
}

/**
 * The restore point that a reference means. `places`: all there are; `lineages`: needed when needsLineages() says so.
 * Throws OperatingError "restore_point_not_found" or "ambiguous_reference".
 */
export function resolveReference(
  reference: string,
  places: readonly RestorePointPlace[],
  lineages: readonly LineageFacts[],
): RestorePointPlace {
  if (!needsLineages(reference)) return resolvePrefix(reference, places);
  const at = reference.lastIndexOf("@");
  const [name, moment] = at === -1 ? [null, reference] : [reference.slice(0, at), reference.slice(at + 1)];
  const time = parseMoment(moment);
  if (time === null) throw notFound(reference, lineages);
  const chosen = name === null ? lineages : lineages.filter((lineage) => isNamed(lineage, name));
  if (chosen.length === 0) throw notFound(reference, lineages);
  if (name === null && chosen.length > 1) throw ambiguousLatest(reference, lineages);
  const keys = new Set(chosen.map((lineage) => lineage.key));
  const found = newestOf(places.filter(({ id, lineageKey }) => keys.has(lineageKey) && timeOfId(id).getTime() <= time));
  if (found === null) throw notFound(reference, lineages);
  return found;
}

function resolvePrefix(prefix: string, places: readonly RestorePointPlace[]): RestorePointPlace {
  const matches = places.filter(({ id }) => id.startsWith(prefix));
  const [first] = matches;
  if (first === undefined) {
    throw new OperatingError("restore_point_not_found", `there is no restore point "${prefix}"`, {
      hint: 'Run "cairn list" to see the restore points.',
    });
  }
  if (matches.length === 1 || isId(prefix)) return first;
  throw new OperatingError("ambiguous_reference", `${matches.length} restore points begin with "${prefix}"`, {
    detail: `They are ${matches.slice(0, LISTED_MAX).map(({ id }) => id).join(", ")}${matches.length > LISTED_MAX ? " and more" : ""}.`, // prettier-ignore
    hint: "Give more of the id.",
  });
}

/** Milliseconds of the last moment that is meant; null when the text is no moment. Without a zone, UTC. */
function parseMoment(text: string): number | null {
  if (text === "latest") return Infinity;
  if (!TIME_PATTERN.test(text)) return null;
  const hasZone = /(?:Z|[+-]\d{2}:?\d{2})$/.test(text.slice(10));
  const time = Date.parse(text.length === 10 ? `${text}T23:59:59Z` : text.replace(" ", "T") + (hasZone ? "" : "Z"));
  return Number.isNaN(time) ? null : time;
}

function isNamed(lineage: LineageFacts, name: string): boolean {
  return lineage.name === name || `${lineage.name}#${lineage.key.slice(0, SHORT_KEY_DIGITS)}` === name;
}

function newestOf(places: readonly RestorePointPlace[]): RestorePointPlace | null {
  return places.reduce<RestorePointPlace | null>((best, place) => {
    return best === null || place.id > best.id ? place : best;
  }, null);
}

function lineageList(lineages: readonly LineageFacts[]): string {
  if (lineages.length === 0) return "The repository has no restore points yet.";
  const names = lineages.slice(0, LISTED_MAX).map(({ label }) => label);
  return `The repository has ${names.join(", ")}${lineages.length > LISTED_MAX ? " and more" : ""}.`;
}

function notFound(reference: string, lineages: readonly LineageFacts[]): OperatingError {
  return new OperatingError("restore_point_not_found", `there is no restore point "${reference}"`, {
    detail: lineageList(lineages),
    hint: "Give an id, the beginning of one, LINEAGE@latest or LINEAGE@2026-11-22T10:00Z.",
  });
}

function ambiguousLatest(reference: string, lineages: readonly LineageFacts[]): OperatingError {
  return new OperatingError("ambiguous_reference", `"${reference}" could mean one of ${lineages.length} lineages`, {
    detail: lineageList(lineages),
    hint: `Say which one, for example ${lineages[0]!.label}@${reference}.`,
  });
}
