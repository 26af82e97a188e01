// Runs the pg_dump that npm's pglite-tools carries as WebAssembly, with arguments, socket and output of our own.
//
// The package offers one function that forces `--inserts` and keeps the dump in a memory file system. It is called as
// it is, but when it instantiates the module, three things are put in: `main` gets our argument vector, the socket's
// read and write go to our functions (its own hook, `set_rw_cbs`), and what is written to standard output and standard
// error is taken at the `fd_write` import (`fd_seek` says that it is a pipe). Works only in a thread of its own: it changes the global WebAssembly.
// Limits: one run per thread; standard output and standard error only, no files.
// Source: WASI preview 1, fd_write; WebAssembly core specification, "Binary Format".

import { messageOf } from "../../base/errors.ts";

/** What a run reads and writes. All functions are called synchronously from within pg_dump. */
export interface PgDumpStreams {
  /** Bytes for the server, in pieces of any size. */
  send(bytes: Uint8Array): void;
  /** Fills `target` from its start with bytes of the server; 0 when there is nothing more to come. */
  receive(target: Uint8Array): number;
  /** Archive bytes; the view is valid only during the call. */
  writeOutput(bytes: Uint8Array): void;
  /** Text of standard error; the view is valid only during the call. */
  writeError(bytes: Uint8Array): void;
}

/** The only function of the package, as far as it is used. */
export type PackagePgDump = (options: { pg: unknown; args: string[] }) => Promise<unknown>;

/** WASI's errno "spipe". */
const ERROR_IS_PIPE = 70;

type WasmFunction = (...parameters: number[]) => number;

interface WasmInstance {
  readonly exports: Record<string, WasmFunction>;
}

interface WasmImports {
  readonly env: Record<string, unknown> & {
    readonly memory: { readonly buffer: ArrayBuffer };
    readonly __indirect_function_table: { grow(count: number): number; set(index: number, value: WasmFunction): void };
  };
  readonly wasi_snapshot_preview1: Record<string, WasmFunction>;
}

interface WasmNamespace {
  instantiate: (bytes: Uint8Array, imports: WasmImports) => Promise<{ module: unknown; instance: WasmInstance }>;
  Module: new (bytes: Uint8Array) => unknown;
  Instance: new (module: unknown, imports: Record<string, Record<string, WasmFunction>>) => WasmInstance;
}

const webAssembly = (globalThis as unknown as { WebAssembly: WasmNamespace }).WebAssembly;

const STDOUT = 1;
const STDERR = 2;
const MAIN = "__main_argc_argv";
/** The export that sets the socket's read and write functions: its name in 0.4 and in 0.2 of the package. */
const SET_SOCKET_FUNCTIONS = ["pgl_set_rw_cbs", "set_read_write_cbs"];

/** Runs pg_dump with exactly these arguments (without the program's name) and gives its exit code. */
export async function runPgDumpModule(
  packagePgDump: PackagePgDump,
  pgDumpArguments: readonly string[],
  streams: PgDumpStreams,
): Promise<number> {
  const outcome: MainOutcome = { exitCode: null, failure: null };
  const { instantiate } = webAssembly;
  webAssembly.instantiate = async (bytes, imports) => {
    webAssembly.instantiate = instantiate;
    const catching = { ...imports, wasi_snapshot_preview1: catchOutput(imports, streams) };
    const { module, instance } = await instantiate(bytes, catching);
    const main = replacementMain(instance, imports, { argumentCount: pgDumpArguments.length, streams, outcome });
    return { module, instance: { exports: { ...instance.exports, [MAIN]: main } } };
  };
  try {
    await packagePgDump({ pg: SILENT_SESSION, args: [...pgDumpArguments] });
  } catch (error) {
    // The package misses its output file and throws; what counts is what main itself did.
    if (outcome.exitCode === null && outcome.failure === null) outcome.failure = error;
  } finally {
    webAssembly.instantiate = instantiate;
  }
  if (outcome.exitCode !== null) return outcome.exitCode;
  throw new Error(
    `pg_dump did not end by itself: ${messageOf(outcome.failure ?? "its main function was not reached")}`,
    {
      cause: outcome.failure,
    },
  );
}

interface MainOutcome {
  exitCode: number | null;
  failure: unknown;
}

/** The package asks this before and after the run; the session itself is reached through the streams. */
const SILENT_SESSION = {
  query: async () => ({ rows: [{ search_path: "" }] }),
  exec: async () => [],
};

function replacementMain(
  instance: WasmInstance,
  imports: WasmImports,
  run: { argumentCount: number; streams: PgDumpStreams; outcome: MainOutcome },
): WasmFunction {
  const { memory, __indirect_function_table: table } = imports.env;
  const addToTable = (javascriptFunction: WasmFunction): number => {
    const index = table.grow(1);
    table.set(index, toWasmFunction(javascriptFunction));
    return index;
  };
  const setSocketFunctions = exportNamed(instance, SET_SOCKET_FUNCTIONS);
  const realMain = exportNamed(instance, [MAIN]);
  return toWasmFunction((_argumentCount, vectorAddress) => {
    const receive = addToTable((address, length) =>
      run.streams.receive(new Uint8Array(memory.buffer, address, length)),
    );
    const send = addToTable((address, length) => {
      run.streams.send(new Uint8Array(memory.buffer, address, length));
      return length;
    });
    setSocketFunctions(receive, send);
    shortenArguments(instance, memory, vectorAddress, run.argumentCount);
    try {
      run.outcome.exitCode = realMain(run.argumentCount + 1, vectorAddress);
      return run.outcome.exitCode;
    } catch (error) {
      // exit() leaves main by an exception that carries the status.
      const status = (error as { status?: unknown } | null)?.status;
      if (typeof status === "number") run.outcome.exitCode = status;
      else run.outcome.failure = error;
      throw error;
    }
  });
}

/** Cuts what the package appended (`-U postgres --inserts …`) off the argument vector and names the program. */
function shortenArguments(
  instance: WasmInstance,
  memory: { readonly buffer: ArrayBuffer },
  vectorAddress: number,
  argumentCount: number,
): void {
  const name = new TextEncoder().encode("pg_dump\0");
  const nameAddress = exportNamed(instance, ["malloc"])(name.length);
  new Uint8Array(memory.buffer).set(name, nameAddress);
  const view = new DataView(memory.buffer);
  view.setUint32(vectorAddress, nameAddress, true);
  view.setUint32(vectorAddress + 4 * (argumentCount + 1), 0, true);
}

function catchOutput(imports: WasmImports, streams: PgDumpStreams): Record<string, WasmFunction> {
  const original = imports.wasi_snapshot_preview1;
  const memory = imports.env.memory;
  const write: WasmFunction = (descriptor, vectorsAddress, vectorCount, writtenAddress) => {
    if (descriptor !== STDOUT && descriptor !== STDERR) {
      return original["fd_write"]!(descriptor, vectorsAddress, vectorCount, writtenAddress);
    }
    const view = new DataView(memory.buffer);
    let written = 0;
    for (let index = 0; index < vectorCount; index += 1) {
      const address = view.getUint32(vectorsAddress + 8 * index, true);
      const length = view.getUint32(vectorsAddress + 8 * index + 4, true);
      const bytes = new Uint8Array(memory.buffer, address, length);
      if (descriptor === STDOUT) streams.writeOutput(bytes);
      else streams.writeError(bytes);
      written += length;
    }
    view.setUint32(writtenAddress, written, true);
    return 0;
  };
  // A pipe cannot be rewound: pg_dump then leaves its table of contents as it wrote it first.
  const seek: WasmFunction = (descriptor, ...rest) =>
    descriptor === STDOUT ? ERROR_IS_PIPE : original["fd_seek"]!(descriptor, ...rest);
  return { ...original, fd_write: write, fd_seek: seek };
}

function exportNamed(instance: WasmInstance, names: readonly string[]): WasmFunction {
  for (const name of names) {
    const found = instance.exports[name];
    if (found !== undefined) return found;
  }
  throw new Error(`the pg_dump module exports no ${names.join(" or ")}`);
}

/**
 * A JavaScript function of two numbers that gives a number, as a function that a table of functions takes: the export
 * of a module that does nothing but import it.
 */
function toWasmFunction(javascriptFunction: WasmFunction): WasmFunction {
  const module = new webAssembly.Module(PASS_THROUGH_MODULE);
  return exportNamed(new webAssembly.Instance(module, { e: { f: javascriptFunction } }), ["f"]);
}

// prettier-ignore
const PASS_THROUGH_MODULE = new Uint8Array([
  0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00, // magic, version 1
  0x01, 0x07, 0x01, 0x60, 0x02, 0x7f, 0x7f, 0x01, 0x7f, // type 0: (i32, i32) -> i32
  0x02, 0x07, 0x01, 0x01, 0x65, 0x01, 0x66, 0x00, 0x00, // import e.f of type 0
  0x07, 0x05, 0x01, 0x01, 0x66, 0x00, 0x00, // export it as f
]);
