import { ViommuError } from "@viommu/plugin";

/** Whether bytes begin like a gzip member (RFC 1952, 2.3.1). */
export function isGzip(bytes: Uint8Array): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b;
}

/** Unpacks gzip, a piece at a time. Throws ERR_VIOMMU_TRACE_TRUNCATED when it is cut or damaged. */
export async function* gunzip(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  const stream = new DecompressionStream("gzip");
  const writer = stream.writable.getWriter();
  // A failure shows in the reader below; here it only must not stay unhandled.
  const fed = Promise.allSettled([writer.write(new Uint8Array(bytes)), writer.close()]);
  const reader = stream.readable.getReader();
  try {
    for (;;) {
      const { done, value } = await read(reader, bytes.length);
      if (done) break;
      yield value;
    }
  } finally {
    // Whoever stops early wants no more of it.
    await reader.cancel().catch(() => undefined);
  }
  await fed;
}

async function read(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  length: number,
): Promise<ReadableStreamReadResult<Uint8Array>> {
  try {
    return await reader.read();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new ViommuError(
      "ERR_VIOMMU_TRACE_TRUNCATED",
      `the gzip data of ${length} bytes is cut or damaged (${reason}); copy the file again`,
      { cause },
    );
  }
}

/** Packs with gzip. */
export async function gzip(text: string): Promise<Uint8Array> {
  const packed = new Blob([text]).stream().pipeThrough(new CompressionStream("gzip"));
  return new Uint8Array(await new Response(packed).arrayBuffer());
}
