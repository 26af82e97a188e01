// The evidence of a drill as one HTML page that needs nothing else: no scripts, no pictures, nothing from elsewhere; every
// value is escaped, since names of tables may hold anything. Pure.

import { formatCount, formatDuration, formatSize } from "../../base/units.ts";
import type { DrillReport } from "./types.ts";

/** Tables shown in the page; the JSON has all. */
const TABLES_SHOWN_MAX = 5000;

const VERDICTS: Readonly<Record<DrillReport["outcome"], string>> = {
  passed: "Restored and equal",
  partial: "Restored, nothing different, but not everything was compared",
  failed: "NOT equal",
};

const STYLE = `body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}
h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}table{border-collapse:collapse;width:100%}
td,th{text-align:left;padding:.2rem .6rem .2rem 0;border-bottom:1px solid #ddd;vertical-align:top;overflow-wrap:anywhere}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}pre{white-space:pre-wrap;background:#f5f5f5;padding:.5rem;margin:.2rem 0}
.passed{color:#116329}.partial{color:#8a4b00}.failed{color:#a40e26}`;

/** The page. */
export function evidencePage(report: DrillReport): string {
  return pageOf(report, reportBody(report));
}

/** A page with that body. */
export function pageOf(
  { outcome, restorePointId }: Pick<DrillReport, "outcome" | "restorePointId">,
  body: string,
): string {
  const title = `Drill of ${restorePointId}`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escape(title)}</title>
<style>${STYLE}</style>
</head>
<body>
<h1>${escape(title)}: <span class="${outcome}">${escape(VERDICTS[outcome])}</span></h1>
${body}
</body>
</html>
`;
}

/** What a page says of one database's drill. */
export function reportBody(report: DrillReport): string {
  return [
    factsTable(report),
    differencesPart(report.differences),
    listPart("Not compared", report.notCompared),
    listPart("Written otherwise by PostgreSQL, equal in meaning", report.excused),
    assertionsPart(report),
    listPart("Adapted to the server", report.adaptations.map(named)),
    listPart("Warnings", report.warnings.map(named)),
    phasesPart(report),
    tablesPart(report),
  ].join("\n");
}

function named(name: string): { readonly name: string; readonly reason: string } {
  return { name, reason: "" };
}

function factsTable(report: DrillReport): string {
  const { compared, server } = report;
  const entries = compared.entries === null ? "not compared" : formatCount(compared.entries);
  const pgDump = report.pgDump === null ? "none" : `${report.pgDump.version}, ${report.pgDump.path ?? "bundled"}`;
  return table([
    ["Database", `${report.databaseName} (lineage ${report.lineage})`],
    ["Snapshot", report.snapshotTakenAt],
    ["Repository", report.repository],
    ["Restored into", `PostgreSQL ${server.version}: ${server.description}`],
    ["Drilled", `${report.startedAt} to ${report.finishedAt}`],
    ["Time to restore", formatDuration(report.restoreDurationMs)],
    ["Rows", `${formatCount(report.rowCount)} (${formatSize(report.rawBytes)} of text)`],
    ["Tables compared by content", formatCount(compared.tables)],
    [
      "Sequences, constraints, indexes",
      [compared.sequences, compared.constraints, compared.indexes].map(formatCount).join(", "),
    ],
    ["Large objects", formatCount(compared.largeObjects)],
    ["Entries of the table of contents", entries],
    ["pg_dump", pgDump],
  ]);
}

/** A table of labels and values. */
export function table(rows: readonly (readonly [string, string])[]): string {
  const lines = rows.map(([label, value]) => `<tr><th>${escape(label)}</th><td>${escape(value)}</td></tr>`);
  return `<table>\n${lines.join("\n")}\n</table>`;
}

/** What is missing or different; nothing when nothing is. */
export function differencesPart(differences: DrillReport["differences"]): string {
  if (differences.length === 0) return "";
  const items = differences.map(({ name, what, expected, found }) => {
    const texts = [
      ...(expected === null ? [] : [`<div>In the archive:</div><pre>${escape(expected)}</pre>`]),
      ...(found === null ? [] : [`<div>Restored:</div><pre>${escape(found)}</pre>`]),
    ];
    return `<li class="failed">${escape(`${name} ${what}`)}${texts.join("")}</li>`;
  });
  return `<h2>Missing or different</h2>\n<ul>\n${items.join("\n")}\n</ul>`;
}

/** A list under a heading; nothing when it is empty. */
export function listPart(heading: string, items: DrillReport["notCompared"]): string {
  if (items.length === 0) return "";
  const lines = items.map(({ name, reason }) => `<li>${escape(reason === "" ? name : `${name}: ${reason}`)}</li>`);
  return `<h2>${escape(heading)}</h2>\n<ul>\n${lines.join("\n")}\n</ul>`;
}

function assertionsPart({ assertions }: DrillReport): string {
  return listPart(
    "Assertions",
    assertions.map(({ sql, problem }) => ({ name: sql, reason: problem ?? "true" })),
  );
}

function phasesPart({ phases }: DrillReport): string {
  return `<h2>Phases</h2>\n${table(phases.map(({ name, durationMs }) => [name, formatDuration(durationMs)]))}`;
}

function tablesPart({ tables }: DrillReport): string {
  const rows = tables.slice(0, TABLES_SHOWN_MAX).map(({ name, storedRows, restoredRows, storedSum, isEqual }) => {
    const count = (value: number | null): string => `<td class="n">${value === null ? "–" : formatCount(value)}</td>`;
    const verdict = isEqual ? "equal" : '<span class="failed">different</span>';
    return `<tr><td>${escape(name)}</td>${count(storedRows)}${count(restoredRows)}<td>${escape(storedSum ?? "–")}</td><td>${verdict}</td></tr>`;
  });
  const more =
    tables.length > rows.length
      ? `<p>${formatCount(tables.length - rows.length)} more stand in the JSON file.</p>`
      : "";
  const head =
    '<tr><th>Table</th><th class="n">Rows stored</th><th class="n">restored</th><th>Sum of hashes</th><th></th></tr>';
  return `<h2>Tables</h2>\n<table>\n${head}\n${rows.join("\n")}\n</table>\n${more}`;
}

const ESCAPES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** Text for HTML; control and direction characters are shown by their numbers. */
export function escape(text: string): string {
  return text
    .replaceAll(/[&<>"']/g, (character) => ESCAPES[character] ?? character)
    .replaceAll(/(?!\n)[\p{Cc}\p{Zl}\p{Zp}\p{Cf}]/gu, (character) => {
      return `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`;
    });
}
