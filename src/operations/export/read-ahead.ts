// Loads the next few pieces while the present one is being written.

const PIECES_AHEAD = 6;

/** Results of `load` in order, up to PIECES_AHEAD of them under way. */
export async function* readAhead<T, R>(pieces: AsyncIterable<T>, load: (piece: T) => Promise<R>): AsyncGenerator<R> {
  const underWay: Promise<R>[] = [];
  try {
    for await (const piece of pieces) {
      const loading = load(piece);
      loading.catch(() => {}); // its failure comes out when its turn comes
      underWay.push(loading);
      if (underWay.length >= PIECES_AHEAD) yield await underWay.shift()!;
    }
    while (underWay.length > 0) yield await underWay.shift()!;
  } finally {
    await Promise.allSettled(underWay);
  }
}
