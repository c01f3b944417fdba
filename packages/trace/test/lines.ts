import { gzipSync } from "node:zlib";

/** The header of a hand-made trace. */
export const HEADER = {
  format: "viommu-trace",
  version: 1,
  name: "hand-made",
  unit: { base: "0xfed90000", cap: "0x80d2008c222f0606", ecap: "0xf00f4a", ver: "0x10" },
  ioapic: { id: 0, sid: "0xff00" },
};

/** A trace as text: the header, then one object a line. */
export function text(events: readonly object[], header: object = HEADER): string {
  return [header, ...events].map((line) => `${JSON.stringify(line)}\n`).join("");
}

/** The bytes of a text. */
export function plain(content: string): Uint8Array {
  return new TextEncoder().encode(content);
}

/** The bytes of a text, compressed. */
export function packed(content: string): Uint8Array {
  return new Uint8Array(gzipSync(content));
}

/** An allowed read of a device. */
export const DMA = {
  e: "dma",
  sid: "0x0010",
  pasid: null,
  iova: "0x1000",
  access: "r",
  result: { ok: true, gpa: "0x2000", mask: "0xfff", perm: "r" },
};

/** A delivered interrupt. */
export const IRQ = {
  e: "irq",
  sid: "0x0010",
  addr: "0xfee00010",
  data: "0x0",
  result: { ok: true, addr: "0xfee01000", data: "0x4021" },
};
