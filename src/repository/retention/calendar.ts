// Calendar arithmetic of retention: the hour, day, ISO week, month and year of a moment in a named time zone, and a
// moment some years, months, days and hours earlier. Pure. An hour that the clock shows twice is one hour.

import { OperatingError } from "../../base/errors.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** Each part of a span; ten thousand years are more than anybody keeps. */
const SPAN_PART_MAX = 9999;
const SPAN_PATTERN = /^(?:(\d{1,4})y)?(?:(\d{1,4})m)?(?:(\d{1,4})w)?(?:(\d{1,4})d)?(?:(\d{1,4})h)?$/;

/** The periods of which retention keeps one each. */
export type Period = "hour" | "day" | "week" | "month" | "year";

/** A length of time on the calendar. */
export interface Span {
  readonly years: number;
  readonly months: number;
  readonly days: number;
  readonly hours: number;
}

interface LocalTime {
  readonly year: number;
  /** 1 to 12. */
  readonly month: number;
  readonly day: number;
  readonly hour: number;
  readonly minute: number;
  readonly second: number;
}

/** The calendar of a time zone. */
export class Calendar {
  readonly #format: Intl.DateTimeFormat;

  /** Throws OperatingError "usage" for a zone that is not known. */
  constructor(timeZone: string) {
    try {
      const options = {
        year: "numeric",
        month: "numeric",
        day: "numeric",
        hour: "numeric",
        minute: "numeric",
      } as const;
      this.#format = new Intl.DateTimeFormat("en-US", {
        ...options,
        second: "numeric",
        hourCycle: "h23",
        calendar: "gregory",
        timeZone,
      });
    } catch {
      throw new OperatingError("usage", `there is no time zone "${timeZone}"`, {
        hint: "Give a name such as UTC or Europe/Zurich.",
      });
    }
  }

  /** A text that two moments share when they lie in the same period. */
  periodOf(timeMs: number, period: Period): string {
    const { day, hour, month, year } = this.#localTime(timeMs);
    if (period === "week") return isoWeek(year, month, day);
    const parts = { year: [], month: [month], day: [month, day], hour: [month, day, hour] }[period];
    return [year, ...parts].map((part) => String(part).padStart(2, "0")).join("-");
  }

  /** The moment that lies a span earlier; a day that a month does not have becomes its last. */
  earlier(timeMs: number, span: Span): number {
    const local = this.#localTime(timeMs);
    const months = local.year * 12 + local.month - 1 - span.years * 12 - span.months;
    const [year, month] = [Math.floor(months / 12), (((months % 12) + 12) % 12) + 1];
    const day = Math.min(local.day, daysOf(year, month));
    const dated = utcOf({ ...local, year, month, day }) - span.days * DAY_MS;
    return this.#momentOf(dated) - span.hours * HOUR_MS;
  }

  /** The moment at which the zone's clock shows what a UTC clock shows at `localMs`. */
  #momentOf(localMs: number): number {
    const first = localMs - this.#offsetAt(localMs);
    return localMs - this.#offsetAt(first);
  }

  #offsetAt(timeMs: number): number {
    return utcOf(this.#localTime(timeMs)) - Math.floor(timeMs / 1000) * 1000;
  }

  #localTime(timeMs: number): LocalTime {
    const parts = new Map(this.#format.formatToParts(timeMs).map(({ type, value }) => [type, value]));
    const part = (type: Intl.DateTimeFormatPartTypes): number => Number(parts.get(type));
    const [year, month, day] = [part("year"), part("month"), part("day")];
    return { year, month, day, hour: part("hour"), minute: part("minute"), second: part("second") };
  }
}

/** Reads a span: `30d`, `1y6m`, `2w12h`; y, m(onths), w, d, h in this order. Throws OperatingError "usage". */
export function parseSpan(text: string, what: string): Span {
  const match = SPAN_PATTERN.exec(text);
  if (match === null || text === "") {
    throw new OperatingError("usage", `${what} must be a span like 30d, 1y6m or 36h, not "${text}"`, {
      hint: `Years, months, weeks, days, hours, in this order, each at most ${SPAN_PART_MAX}: 1y6m2w3d12h.`,
    });
  }
  const [years, months, weeks, days, hours] = match.slice(1).map((part) => Number(part ?? 0)) as [number, ...number[]];
  return { years, months: months!, days: days! + weeks! * 7, hours: hours! };
}

function utcOf({ day, hour, minute, month, second, year }: LocalTime): number {
  const date = new Date(Date.UTC(2000, month - 1, day, hour, minute, second));
  // Date.UTC() takes the years 0 to 99 for 1900 to 1999.
  return date.setUTCFullYear(year, month - 1, day);
}

function daysOf(year: number, month: number): number {
  const date = new Date(0);
  date.setUTCFullYear(year, month, 0);
  return date.getUTCDate();
}

/** The year and number of the week that holds the day's Thursday (ISO 8601). */
function isoWeek(year: number, month: number, day: number): string {
  const noon = utcOf({ year, month, day, hour: 12, minute: 0, second: 0 });
  const weekday = (new Date(noon).getUTCDay() + 6) % 7;
  const thursday = new Date(noon + (3 - weekday) * DAY_MS);
  const weekYear = thursday.getUTCFullYear();
  const yearBegin = utcOf({ year: weekYear, month: 1, day: 1, hour: 0, minute: 0, second: 0 });
  const week = 1 + Math.floor((thursday.getTime() - yearBegin) / (7 * DAY_MS));
  return `${weekYear}-W${String(week).padStart(2, "0")}`;
}
