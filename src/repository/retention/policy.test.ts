// The retention policy: properties over random histories (clock steps, gaps, zones), restic's tiers against a plain model,
// and daylight saving by hand.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { NO_RULES } from "../repository.fixture.ts";
import { Calendar, parseSpan } from "./calendar.ts";
import { hasKeepRule, planRetention } from "./policy.ts";
import type { RetentionCandidate, RetentionDecision, RetentionRules } from "./policy.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const BEGIN_MS = Date.UTC(2024, 0, 1);
const ZONES = ["UTC", "Europe/Zurich", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia"];

function point(timeMs: number, more: Partial<RetentionCandidate> = {}): RetentionCandidate {
  const id = new Date(timeMs).toISOString();
  const facts = {
    isReadable: true,
    isDamaged: false,
    isVerified: false,
    isDrilled: false,
    holds: [],
    members: [],
    tags: {},
  };
  return { id, lineageKey: "a", idTimeMs: timeMs, snapshotTimeMs: timeMs, ...facts, ...more };
}

/** A history: gaps between backups, the clock sometimes stepping, ids always going forward as makeId() has it. */
const history = fc
  .array(
    fc.record({
      gapMs: fc.oneof(fc.integer({ min: 1000, max: 2 * DAY_MS }), fc.integer({ min: 1000, max: 400 * DAY_MS })),
      stepMs: fc.oneof({ weight: 5, arbitrary: fc.constant(0) }, fc.integer({ min: -40 * DAY_MS, max: 40 * DAY_MS })),
      lineageKey: fc.constantFrom("a", "b"),
      isReadable: fc.integer({ min: 0, max: 9 }).map((value) => value > 0),
      isDamaged: fc.boolean(),
      isVerified: fc.boolean(),
      isDrilled: fc.boolean(),
      isHeld: fc.integer({ min: 0, max: 9 }).map((value) => value === 0),
      tag: fc.constantFrom(null, "x", "y"),
      memberIndexes: fc.oneof(
        { weight: 5, arbitrary: fc.constant<number[]>([]) },
        fc.array(fc.nat(39), { maxLength: 3 }),
      ),
    }),
    { maxLength: 40 },
  )
  .map((steps) => {
    let [trueMs, offsetMs] = [BEGIN_MS, 0];
    const newest = new Map<string, number>();
    const points = steps.map((step, index): RetentionCandidate => {
      trueMs += step.gapMs;
      offsetMs += step.stepMs;
      const snapshotTimeMs = trueMs + offsetMs;
      const floor = (newest.get(step.lineageKey) ?? -Infinity) + 1000;
      const idTimeMs = Math.max(Math.floor(snapshotTimeMs / 1000) * 1000, floor);
      newest.set(step.lineageKey, idTimeMs);
      const { isDamaged, isDrilled, isReadable, isVerified, lineageKey } = step;
      const facts = { lineageKey, isReadable, isDamaged, isVerified, isDrilled, snapshotTimeMs, idTimeMs };
      const tags: Record<string, string> = step.tag === null ? {} : { why: step.tag };
      return point(idTimeMs, { ...facts, id: `${new Date(idTimeMs).toISOString()}-${index}`, tags, holds: step.isHeld ? ["h"] : [] }); // prettier-ignore
    });
    return points.map((one, index) => {
      const earlier = steps[index]!.memberIndexes.filter((member) => member < index);
      return { ...one, members: earlier.map((member) => points[member]!.id) };
    });
  });

const count = fc.oneof(fc.integer({ min: 0, max: 8 }), fc.constant(Infinity));
const rules: fc.Arbitrary<RetentionRules> = fc.record({
  last: count,
  hourly: count,
  daily: count,
  weekly: count,
  monthly: count,
  yearly: count,
  within: fc.option(fc.record({ years: fc.nat(2), months: fc.nat(14), days: fc.nat(60), hours: fc.nat(50) })),
  keepTags: fc.constantFrom([], [{ key: "why", value: null }], [{ key: "why", value: "x" }]),
  minimum: fc.integer({ min: 1, max: 4 }),
  onlyTags: fc.constantFrom([], [{ key: "why", value: "x" }]),
  onlyLineages: fc.constantFrom(null, null, new Set(["a"])),
  timeZone: fc.constantFrom(...ZONES),
});
const now = fc.integer({ min: -3 * 365 * DAY_MS, max: 20 * 365 * DAY_MS }).map((ms) => BEGIN_MS + ms);

const keptIds = (decisions: readonly RetentionDecision[]): Set<string> => {
  return new Set(decisions.filter(({ isKept }) => isKept).map(({ id }) => id));
};

describe("planRetention()", () => {
  test("decides on each restore point once, with a reason", () => {
    fc.assert(
      fc.property(history, rules, now, (points, chosen, nowMs) => {
        fc.pre(hasKeepRule(chosen));
        const decisions = planRetention(points, chosen, nowMs);
        expect(decisions.map(({ id }) => id).toSorted()).toEqual(points.map(({ id }) => id).toSorted());
        for (const { reasons } of decisions) expect(reasons.length).toBeGreaterThan(0);
      }),
    );
  });

  test("never removes what is held, unreadable, the last good, verified or drilled one, whatever the rules and clocks", () => {
    fc.assert(
      fc.property(history, rules, now, (points, chosen, nowMs) => {
        const kept = keptIds(planRetention(points, chosen, nowMs));
        for (const one of points) if (one.holds.length > 0 || !one.isReadable) expect(kept).toContain(one.id);
        for (const key of ["a", "b"]) {
          const readable = points.filter((one) => one.lineageKey === key && one.isReadable);
          const undamaged = readable.filter((one) => !one.isDamaged);
          const good = undamaged.length > 0 ? undamaged : readable;
          for (const one of good.slice(-chosen.minimum)) expect(kept).toContain(one.id);
          if (chosen.onlyLineages?.has(key) === false) for (const one of readable) expect(kept).toContain(one.id);
          for (const fact of ["isVerified", "isDrilled"] as const) {
            const last = good.findLast((one) => one[fact]);
            if (last !== undefined) expect(kept).toContain(last.id);
          }
        }
      }),
    );
  });

  test("does not depend on the order of its input, nor on other lineages", () => {
    fc.assert(
      fc.property(history, rules, now, fc.infiniteStream(fc.nat()), (clusters, chosen, nowMs, keys) => {
        const points = clusters.map((one) => ({ ...one, members: [] }));
        const decisions = planRetention(points, chosen, nowMs);
        const shuffled = points.map((one) => ({ one, key: keys.next().value! })).toSorted((a, b) => a.key - b.key);
        expect(planRetention(shuffled.map(({ one }) => one), chosen, nowMs)).toEqual(decisions); // prettier-ignore
        const alone = planRetention(points.filter(({ lineageKey }) => lineageKey === "b"), chosen, nowMs); // prettier-ignore
        expect(alone).toEqual(decisions.filter(({ lineageKey }) => lineageKey === "b"));
      }),
    );
  });

  test("keeping more never removes more", () => {
    const more = fc.record({
      last: fc.nat(3),
      hourly: fc.nat(3),
      daily: fc.nat(3),
      weekly: fc.nat(3),
      monthly: fc.nat(3),
      yearly: fc.nat(3),
      minimum: fc.nat(2),
      days: fc.nat(100),
    });
    fc.assert(
      fc.property(history, rules, more, now, (points, chosen, added, nowMs) => {
        const { days, ...counts } = added;
        const names = Object.keys(counts) as (keyof typeof counts)[];
        const larger = Object.fromEntries(names.map((name) => [name, chosen[name] + counts[name]]));
        const within = chosen.within === null ? null : { ...chosen.within, days: chosen.within.days + days };
        const kept = keptIds(planRetention(points, chosen, nowMs));
        const keptByMore = keptIds(planRetention(points, { ...chosen, ...larger, within }, nowMs));
        for (const id of kept) expect(keptByMore).toContain(id);
      }),
    );
  });

  test("is what is left when it is applied again", () => {
    fc.assert(
      fc.property(history, rules, now, (points, chosen, nowMs) => {
        // The oldest stays only while counts are left, so a second pass may keep more of what the first left, never less.
        const kept = keptIds(planRetention(points, chosen, nowMs));
        const left = points.filter(({ id }) => kept.has(id));
        expect(keptIds(planRetention(left, chosen, nowMs))).toEqual(kept);
      }),
    );
  });

  test("keeps the tiers that restic keeps", () => {
    const dates = fc.uniqueArray(fc.integer({ min: 0, max: 800 * 24 }), { minLength: 1, maxLength: 60 });
    const counts = fc.record({ last: fc.nat(5), hourly: fc.nat(9), daily: fc.nat(9), monthly: fc.nat(9), yearly: fc.nat(3) }); // prettier-ignore
    fc.assert(
      fc.property(dates, counts, (hours, chosen) => {
        const points = hours.toSorted((a, b) => a - b).map((hour) => point(BEGIN_MS + hour * HOUR_MS));
        const lengths = { last: 99, hourly: 13, daily: 10, monthly: 7, yearly: 4 };
        const expected = new Set([points.at(-1)!.id]);
        for (const [name, length] of Object.entries(lengths)) {
          let [left, before] = [chosen[name as keyof typeof chosen], ""];
          for (const [index, { id }] of points.toReversed().entries()) {
            const period = id.slice(0, length);
            if (left === 0 || (period === before && index < points.length - 1)) continue;
            expected.add(id);
            [left, before] = [left - 1, period];
          }
        }
        expect(keptIds(planRetention(points, { ...NO_RULES, ...chosen }, 0))).toEqual(expected);
      }),
    );
  });

  test("a damaged one takes no undamaged one's place", () => {
    const day = Date.UTC(2026, 10, 20);
    const points = [
      point(day),
      point(day + HOUR_MS),
      point(day + 2 * HOUR_MS, { isDamaged: true }),
      point(day + DAY_MS),
    ];
    const kept = keptIds(planRetention(points, { ...NO_RULES, daily: 2 }, day));
    expect([...kept]).toEqual([points[3]!.id, points[2]!.id, points[1]!.id]);
  });

  test("a clock that was a year ahead once, or is now, removes nothing young", () => {
    const day = Date.UTC(2026, 10, 20);
    const points = Array.from({ length: 10 }, (_, index) => point(day + index * DAY_MS));
    const within = parseSpan("5d", "x");
    const [yearMs, young] = [365 * DAY_MS, points.slice(-5).map(({ id }) => id)];
    const ahead = [...points, point(day + yearMs)];
    const kept = keptIds(planRetention(ahead, { ...NO_RULES, within }, day + 9 * DAY_MS));
    for (const id of young) expect(kept).toContain(id);
    const later = keptIds(planRetention(points, { ...NO_RULES, within }, day + yearMs));
    for (const id of young) expect(later).toContain(id);
    const behind = keptIds(planRetention(points, { ...NO_RULES, within }, day - yearMs));
    expect(behind.size).toBe(10);
  });

  test("keeps what a kept cluster restore point names, and no more", () => {
    const day = Date.UTC(2026, 10, 20);
    const databases = Array.from({ length: 6 }, (_, index) => point(day + index * DAY_MS));
    const cluster = (index: number): RetentionCandidate => {
      const members = [databases[index]!.id];
      return point(day + index * DAY_MS + 1000, { lineageKey: "cluster", members, holds: index === 1 ? ["x"] : [] });
    };
    const points = [...databases, cluster(1), cluster(2), cluster(4)];
    const decisions = planRetention(points, { ...NO_RULES, last: 1 }, day);
    const [one, four, five] = [databases[1]!.id, databases[4]!.id, databases[5]!.id];
    expect(decisions.filter(({ isKept, lineageKey }) => isKept && lineageKey === "a").map(({ id }) => id)).toEqual([
      five,
      four,
      one,
    ]);
    expect(decisions.find(({ id }) => id === one)!.reasons).toEqual([
      `the cluster restore point ${cluster(1).id} names it`,
    ]);
  });

  test("says why", () => {
    const day = Date.UTC(2026, 10, 20, 10);
    const points = [point(day), point(day + HOUR_MS), point(day + DAY_MS, { holds: ["audit"] })];
    const decisions = planRetention(points, { ...NO_RULES, daily: 2, last: 1 }, day);
    expect(decisions.map(({ isKept, reasons }) => [isKept, ...reasons])).toEqual([
      [true, "one of the last 1", "daily: the newest of 2026-11-21", "held: audit", "the last good one of its lineage"],
      [true, "daily: the newest of 2026-11-20"],
      [false, "not one of the last 1", "daily: a newer one of 2026-11-20 counts"],
    ]);
  });
});

describe("Calendar", () => {
  test("knows days and hours of a zone with daylight saving", () => {
    const zurich = new Calendar("Europe/Zurich");
    // 2026-10-25: clocks go back from 3:00 to 2:00 at 01:00 UTC; the hour 2 comes twice and is one hour.
    const hours = [0, 1, 2].map((hour) => zurich.periodOf(Date.UTC(2026, 9, 25, hour), "hour"));
    expect(hours).toEqual(["2026-10-25-02", "2026-10-25-02", "2026-10-25-03"]);
    // 2026-03-29: 2:00 to 3:00 does not exist.
    const spring = [0, 1].map((hour) => zurich.periodOf(Date.UTC(2026, 2, 29, hour), "hour"));
    expect(spring).toEqual(["2026-03-29-01", "2026-03-29-03"]);
    expect(zurich.periodOf(Date.UTC(2026, 11, 31, 23, 30), "year")).toBe("2027");
    expect(new Calendar("UTC").periodOf(Date.UTC(2026, 11, 31, 23, 30), "month")).toBe("2026-12");
  });

  test("counts ISO weeks", () => {
    const utc = new Calendar("UTC");
    const week = (year: number, month: number, day: number) => utc.periodOf(Date.UTC(year, month - 1, day), "week");
    expect([week(2024, 12, 30), week(2025, 1, 1), week(2027, 1, 3), week(2027, 1, 4), week(2026, 11, 22)]).toEqual([
      "2025-W01",
      "2025-W01",
      "2026-W53",
      "2027-W01",
      "2026-W47",
    ]);
  });

  test("goes back by calendar months and days, then by hours", () => {
    const zurich = new Calendar("Europe/Zurich");
    const back = (iso: string, span: string) => new Date(zurich.earlier(Date.parse(iso), parseSpan(span, "x"))).toISOString(); // prettier-ignore
    expect(back("2026-03-31T10:00:00Z", "1m")).toBe("2026-02-28T11:00:00.000Z");
    expect(back("2026-03-30T10:00:00Z", "2d")).toBe("2026-03-28T11:00:00.000Z");
    expect(back("2026-03-30T10:00:00Z", "48h")).toBe("2026-03-28T10:00:00.000Z");
    expect(back("2024-02-29T12:00:00Z", "1y")).toBe("2023-02-28T12:00:00.000Z");
    expect(back("2026-11-22T12:00:00Z", "1y2w")).toBe("2025-11-08T12:00:00.000Z");
  });

  test("a longer span never begins later, in any zone", () => {
    const span = fc.record({ years: fc.nat(3), months: fc.nat(20), days: fc.nat(500), hours: fc.nat(500) });
    fc.assert(
      fc.property(fc.constantFrom(...ZONES), span, fc.nat(40), now, (zone, chosen, days, timeMs) => {
        const calendar = new Calendar(zone);
        const earlier = calendar.earlier(timeMs, { ...chosen, days: chosen.days + days });
        expect(earlier).toBeLessThanOrEqual(calendar.earlier(timeMs, chosen));
      }),
    );
  });

  test("refuses what is no zone and what is no span", () => {
    expect(() => new Calendar("Mars/Olympus")).toThrow('there is no time zone "Mars/Olympus"');
    for (const text of ["", "3", "5m3y", "10000d", "-1d", "1.5d", "3x"]) {
      expect(() => parseSpan(text, "--keep-within")).toThrow("--keep-within must be a span");
    }
    expect(parseSpan("1y2m3w4d5h", "x")).toEqual({ years: 1, months: 2, days: 25, hours: 5 });
  });
});
