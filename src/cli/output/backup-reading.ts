// What backup tells of its reading: what was read, what was taken over, what was waited for, and why.

import { formatCount, formatDuration, formatSize } from "../../base/units.ts";
import { describeDifferences } from "../../operations/backup/incremental/describe-segment.ts";
import type {
  ExplainedRelation,
  Explanation,
  LargeObjectReading,
  ReadingFacts,
  SelfCheckFacts,
} from "../../operations/backup/incremental/types.ts";
import { sanitizeLine } from "./sanitize.ts";
import { countOf, fieldLines, listLines, tableLines, type Column, type Field } from "./text.ts";

/** Relations of an explanation that are shown; --json has more. */
const RELATIONS_SHOWN_MAX = 40;
const DIFFERENCES_SHOWN_MAX = 100;

/** Fields of the receipt. */
export function readingFields(reading: ReadingFacts): Field[] {
  const { readSegmentCount, takenOverSegmentCount, allReadBecause, noParentBecause, selfCheck } = reading;
  const lost = reading.notReusableSegmentCount;
  return [
    ["read", `${countOf(readSegmentCount, "segment")}, ${formatSize(reading.readRawBytes)} of plain text`],
    ["", lost === 0 ? null : `${countOf(lost, "segment")} of them because the parent's chunks cannot be used any more`],
    [
      "  not read",
      takenOverSegmentCount === 0
        ? null
        : `${countOf(takenOverSegmentCount, "segment")}, ${formatSize(reading.takenOverRawBytes)}, taken over from the parent`,
    ],
    ["  large objects", allReadBecause === null ? largeObjectText(reading.largeObjects) : null],
    ["", allReadBecause === null ? null : `everything was read: ${allReadBecause}`],
    ["", selfCheck === null ? null : `everything was read to compare: ${comparedText(selfCheck)} compared`],
    ["  waited", waitedText(reading)],
    [
      "",
      noParentBecause === null || allReadBecause === noParentBecause
        ? null
        : `the next backup reads everything: ${noParentBecause}`,
    ],
  ];
}

function comparedText({ comparedLargeObjectCount, comparedSegmentCount }: SelfCheckFacts): string {
  const segments = countOf(comparedSegmentCount, "segment");
  return comparedLargeObjectCount === 0
    ? segments
    : `${segments} and ${countOf(comparedLargeObjectCount, "large object")}`;
}

function largeObjectText(largeObjects: LargeObjectReading | null): string | null {
  if (largeObjects === null) return null;
  const { readBecause, takenOverCount } = largeObjects;
  const parts = Object.entries(readBecause).map(([reason, count]) => `${formatCount(count)} read: ${reason}`);
  if (takenOverCount > 0) parts.unshift(`${formatCount(takenOverCount)} not read, taken over from the parent`);
  return parts.join("; ");
}

function waitedText({ waited }: ReadingFacts): string | null {
  const { beforeReadingMs, afterReadingMs, isCheckpointMade } = waited;
  if (beforeReadingMs + afterReadingMs === 0 && !isCheckpointMade) return null;
  const parts = [
    ...(beforeReadingMs > 0 ? [`${formatDuration(beforeReadingMs)} before the reading`] : []),
    ...(afterReadingMs > 0 ? [`${formatDuration(afterReadingMs)} after it`] : []),
    ...(isCheckpointMade ? ["a checkpoint was asked for"] : []),
  ];
  return `for WAL summaries: ${parts.join(", ")}`;
}

/** The segments that a self-check found to differ, and the explanation when it was asked for. */
export function readingLines({ explanation, selfCheck }: ReadingFacts): string[] {
  const differences = selfCheck === null ? [] : describeDifferences(selfCheck);
  const shown = differences.slice(0, DIFFERENCES_SHOWN_MAX);
  const more = (selfCheck?.differenceCount ?? 0) - shown.length;
  const items = [...shown, ...(more > 0 ? [`and ${formatCount(more)} more`] : [])];
  return [
    ...listLines("SELF-CHECK FAILED: other rows than what would have been taken over", items),
    ...(explanation === null ? [] : explanationLines(explanation)),
  ];
}

const COLUMNS: readonly Column[] = [
  { heading: "table" },
  { heading: "segments", align: "right" },
  { heading: "taken over", align: "right" },
  { heading: "read", align: "right" },
  { heading: "read because" },
];

function explanationLines(explanation: Explanation): string[] {
  const { coverage, parent, relations } = explanation;
  const shown = relations.slice(0, RELATIONS_SHOWN_MAX);
  const rest = relations.length - shown.length + explanation.moreRelationCount;
  const unknown = "none";
  return [
    "",
    "Explanation:",
    ...fieldLines([
      ["  this restore point", pointText(explanation)],
      ["  its snapshot", `${explanation.snapshotLsn ?? unknown}, timeline ${explanation.timeline ?? unknown}`],
      ["  parent", parent === null ? unknown : `${parent.id}, ${pointText(parent)}`],
      [
        "  WAL looked through",
        coverage === null
          ? unknown
          : `${coverage.fromLsn} to ${coverage.toLsn}, ${countOf(coverage.summaryCount, "summary", "summaries")}`,
      ],
      ["  base held back by", explanation.heldBackBy ?? "nothing"],
      ["  runs since all was read", formatCount(explanation.runsSinceFullRead)],
    ]),
    "",
    ...tableLines(
      COLUMNS,
      shown.map((one) => [
        one.name,
        formatCount(one.segmentCount),
        formatCount(one.takenOverCount),
        formatSize(one.readRawBytes),
        reasonText(one),
      ]),
    ),
    ...(rest === 0
      ? []
      : [sanitizeLine(`and ${countOf(rest, "table")} of which no more was read (--json has up to 1,000)`)]),
  ];
}

function pointText({ baseLsn, sealLsn }: { readonly baseLsn: string | null; readonly sealLsn: string | null }): string {
  return `base ${baseLsn ?? "none"}, seal ${sealLsn ?? "none"}`;
}

function reasonText({ readBecause }: ExplainedRelation): string {
  const reasons = Object.entries(readBecause).toSorted(([, one], [, other]) => other - one);
  return reasons.map(([reason, count]) => `${reason} (${formatCount(count)})`).join("; ");
}
