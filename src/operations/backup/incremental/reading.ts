// One run's incremental reading, from the plan to what is recorded: which segments are taken over, what turns out to have
// changed while it was read, what a self-check finds, and the seal. docs/formats/incremental.md has the rule.

import type { Dump, TablePlan } from "../../../dump/index.ts";
import { encodeIncremental, type RelationShape } from "../../../incremental/index.ts";
import type { Json, RelationRecord, RelationStorage } from "../../../repository/index.ts";
import { warn } from "../../events.ts";
import type { OperationContext } from "../../operation.ts";
import type { RepositorySink } from "../repository-sink.ts";
import type { SegmentChoice } from "../segment-choice.ts";
import { explain } from "./explain.ts";
import { largeObjectFacts } from "./large-object-facts.ts";
import { planReading, type ReadingParts, type ReadingPlan } from "./plan-reading.ts";
import { sealRecord, type SealedRecord } from "./seal-record.ts";
import { differingUnits, selfCheckFacts, warnOfDifferences } from "./self-check.ts";
import { findUnstable, type Stability } from "./stability.ts";
import { announce } from "./summary-wait.ts";
import type { ReadingFacts, SelfCheckFacts, WaitFacts } from "./types.ts";
import { isMuch, waitForSeal } from "./wait-choice.ts";

const NO_WAIT: WaitFacts = { beforeReadingMs: 0, afterReadingMs: 0, isCheckpointMade: false };
const TABLES_NAMED_MAX = 5;

/** What goes into the manifest and the receipt. */
export interface ReadingOutcome {
  readonly incremental: Json;
  readonly timeline: number | null;
  /** The relations' records with how they are stored. */
  readonly relations: readonly RelationRecord[];
  readonly facts: ReadingFacts;
  readonly warnings: readonly string[];
}

/** See the head of this file. Dispose of it: what still waits is ended. */
export class IncrementalReading implements AsyncDisposable {
  readonly #context: OperationContext;
  readonly #parts: ReadingParts;
  readonly #plan: ReadingPlan;
  readonly #unstable = new Set<number>();
  /** Ends what still looks again when something else failed. */
  readonly #ended = new AbortController();
  #lookingAgain: Promise<Stability> | null = null;
  #unknownBecause: string | null = null;

  private constructor(context: OperationContext, parts: ReadingParts, plan: ReadingPlan) {
    this.#context = context;
    this.#parts = parts;
    this.#plan = plan;
  }

  /** Plans the reading of an open dump, and begins to wait for the seal where that need not be waited for first. */
  static async plan(context: OperationContext, parts: ReadingParts): Promise<IncrementalReading> {
    const plan = await planReading(context, parts);
    if (plan.wait !== null && plan.wait.facts.beforeReadingMs === 0) plan.wait.beginBeside();
    return new IncrementalReading(context, parts, plan);
  }

  /** What becomes of a segment. */
  readonly choose = ({ dumpId }: TablePlan, segmentIndex: number): SegmentChoice => {
    const verdict = this.#plan.judgement?.relations.get(dumpId);
    if (verdict?.kind !== "take-over" || verdict.readSegments.has(segmentIndex)) return "read";
    if (this.#plan.isCompared) return "compare";
    return this.#unstable.has(dumpId) ? "read" : "take over";
  };

  /** What becomes of the large objects, all of them alike. */
  readonly chooseLargeObjects = (): SegmentChoice => {
    if (this.#plan.judgement?.largeObjects.kind !== "take-over") return "read";
    return this.#plan.isCompared ? "compare" : "take over";
  };

  /** In one line for the phase: how everything is read. */
  get description(): string {
    if (this.#plan.allReadBecause !== null) return `everything is read: ${this.#plan.allReadBecause}`;
    return this.#plan.isCompared ? "everything is read and compared" : "what cannot have changed is taken over";
  }

  /** The same for tables that settle() gave back. */
  describeAgain(tableCount: number): string {
    const why =
      this.#unknownBecause === null
        ? "which changed meanwhile"
        : "as it could not be found out whether they changed meanwhile";
    return `reading ${tableCount} tables again, ${why}`;
  }

  /** Begins to look again at the relations' definitions. To be called when all is read. */
  lookAgain(): void {
    const { server } = this.#plan;
    const { source, dump, life } = this.#parts;
    if (server === null) return;
    const signal = AbortSignal.any([this.#context.signal, this.#ended.signal]);
    this.#lookingAgain = findUnstable({ ...this.#context, signal }, { source, dump, server, life });
    this.#lookingAgain.catch(() => {}); // settle() has it, unless something else failed before
  }

  /**
   * Waits for what lookAgain() found. What was in part taken over and changed is forgotten by the sink, and returned: all of
   * it must be read, in the same snapshot.
   */
  async settle(sink: RepositorySink): Promise<readonly TablePlan[]> {
    const { dump } = this.#parts;
    if (this.#lookingAgain === null) return [];
    const { unstable, unknownBecause } = await this.#lookingAgain;
    for (const { dumpId } of unstable) this.#unstable.add(dumpId);
    this.#unknownBecause = unknownBecause;
    const mixed = dump.tables.filter((table) => this.#unstable.has(table.dumpId) && sink.takenOverOf(table) > 0);
    await sink.discard(mixed);
    return mixed;
  }

  /** Waits for the seal where it pays, and tells what is recorded. The snapshot is not needed any more. */
  async finish(sink: RepositorySink): Promise<ReadingOutcome> {
    const { dump } = this.#parts;
    const warnings = this.#warnOfUnstable(dump);
    const selfCheck = this.#plan.isCompared ? selfCheckFacts(sink, this.#unstable) : null;
    if (selfCheck !== null) warnings.push(...warnOfDifferences(this.#context, selfCheck));
    else if (this.#parts.settings.isReread) warnings.push(this.#warnOfNoCheck());
    const distrustedBecause = this.#distrust(selfCheck);
    await this.#waitForSeal(sink);
    const sealed = await this.#seal(sink, distrustedBecause);
    await this[Symbol.asyncDispose]();
    return {
      incremental: sealed === null ? distrustAlone(distrustedBecause) : encodeIncremental(sealed.record),
      timeline: this.#plan.server?.position.timeline ?? null,
      relations: sink.relations.map((relation) => this.#withShape(relation)),
      facts: await this.#facts(sink, { sealed, selfCheck }),
      warnings,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort();
    await this.#lookingAgain?.catch(() => {});
    await this.#plan.wait?.[Symbol.asyncDispose]();
    await this.#parts.life[Symbol.asyncDispose]();
  }

  #warnOfUnstable({ tables }: Dump): string[] {
    const unstable = tables.filter(({ dumpId }) => this.#unstable.has(dumpId));
    if (unstable.length === 0) return [];
    const named = unstable.slice(0, TABLES_NAMED_MAX).map(nameOf).join(", ");
    const more = unstable.length > TABLES_NAMED_MAX ? ` and ${unstable.length - TABLES_NAMED_MAX} more` : "";
    const reason = this.#unknownBecause;
    const message =
      reason === null
        ? `columns or types changed while these tables were read: ${named}${more}`
        : `it could not be found out whether columns or types changed while these tables were read: ${named}${more}`;
    const doubt = "Rows may show a new definition, while the table of contents has the old one.";
    const detail = reason === null ? doubt : `${reason}. If they did: ${doubt}`;
    return [warn(this.#context, { message, detail, hint: "Take another backup, and drill it." })];
  }

  #warnOfNoCheck(): string {
    const message = `--reread compared nothing, as nothing could have been taken over: ${this.#plan.allReadBecause}`;
    return warn(this.#context, { message, hint: "Say it again for the next backup, with --checkpoint now." });
  }

  #distrust(selfCheck: SelfCheckFacts | null): string | null {
    if (this.#parts.settings.isFull) return null;
    const count = selfCheck?.differenceCount ?? 0;
    if (selfCheck === null || count === 0) return this.#plan.parent.distrustedBecause;
    const id = this.#plan.parent.restorePoint?.id ?? "";
    return `a self-check against restore point ${id} found ${count} ${differingUnits(selfCheck)} that differ from what is in the database`;
  }

  async #waitForSeal({ rawBytes }: RepositorySink): Promise<void> {
    const { server, wait, waitsAfter } = this.#plan;
    if (wait === null || !(waitsAfter ?? isMuch(rawBytes))) return;
    const { checkpoint } = this.#parts.settings;
    const isStandby = server?.position.hostRole === "standby";
    if (wait.leftMs > 0) announce(this.#context, "seal", waitForSeal({ checkpoint, isStandby }, wait.leftMs));
    await wait.after();
  }

  async #seal(sink: RepositorySink, distrustedBecause: string | null): Promise<SealedRecord | null> {
    const { server, parent } = this.#plan;
    if (server === null) return null;
    const hasTakenOver = sink.segments.takenOverCount + sink.objects.counts.takenOverCount > 0;
    const runsSinceFullRead = hasTakenOver ? (parent.record?.runsSinceFullRead ?? 0) + 1 : 0;
    const { life } = this.#parts;
    const counts = { runsSinceFullRead, distrustedBecause };
    return await sealRecord(this.#context, { life, server, parentRecord: parent.record, counts });
  }

  #noParentBecause(sealed: SealedRecord | null): string | null {
    const { server, allReadBecause } = this.#plan;
    if (server === null) return allReadBecause;
    const unsealed = sealed?.noParentBecause ?? null;
    if (unsealed !== null || this.#unknownBecause === null) return unsealed;
    return `it could not be found out whether its tables were changed while they were read: ${this.#unknownBecause}`;
  }

  #withShape(relation: RelationRecord): RelationRecord {
    const shape = this.#plan.server?.shapes.get(relation.oid);
    if (shape === undefined) return relation;
    return { ...relation, storage: storageOf({ ...shape, isStable: this.#isStable(relation.dumpId) }) };
  }

  #isStable(dumpId: number): boolean {
    const { tablesInDoubt } = this.#parts.dump;
    return !this.#unstable.has(dumpId) && tablesInDoubt.every((table) => table.dumpId !== dumpId);
  }

  async #facts(
    sink: RepositorySink,
    { sealed, selfCheck }: { readonly sealed: SealedRecord | null; readonly selfCheck: SelfCheckFacts | null },
  ): Promise<ReadingFacts> {
    const { wait, allReadBecause } = this.#plan;
    const { readCount, takenOverCount, takenOverRawBytes, notReusableCount } = sink.segments;
    const { isExplained } = this.#parts.settings;
    const explained = {
      ...this.#parts,
      plan: this.#plan,
      sink,
      record: sealed?.record ?? null,
      unstable: this.#unstable,
      isStabilityKnown: this.#unknownBecause === null,
    };
    return {
      readSegmentCount: readCount,
      takenOverSegmentCount: takenOverCount,
      notReusableSegmentCount: notReusableCount,
      readRawBytes: sink.rawBytes,
      takenOverRawBytes,
      allReadBecause,
      largeObjects: largeObjectFacts(this.#plan, sink),
      waited: wait?.facts ?? NO_WAIT,
      noParentBecause: this.#noParentBecause(sealed),
      selfCheck,
      explanation: isExplained ? await explain(this.#context, explained) : null,
    };
  }
}

/** Where nothing else can be recorded, a distrust is all the same. */
function distrustAlone(distrustedBecause: string | null): Json {
  return distrustedBecause === null ? null : { distrustedBecause };
}

function storageOf(shape: RelationShape): RelationStorage {
  const { oid: _oid, blockCount: _blockCount, ...storage } = shape;
  return storage;
}

function nameOf({ relation }: TablePlan): string {
  return `${relation.namespace}.${relation.name}`;
}
