/**
 * The hand-over of a crashed kernel (kexec, kdump): the second kernel finds translation and
 * remapping on, with tables it does not own, and takes over without switching them off.
 */
import { Access } from "@viommu/plugin";
import { describe, expect, it } from "vitest";
import { Gcmd, Guest, Reg } from "./support/guest.ts";

const NIC = 0x0018;
const IRTE = (vector: bigint): bigint => (5n << 32n) | (vector << 16n) | 9n;

describe("a crashed kernel hands over to the next one", () => {
  it("QIE is cleared and set again, a new IRTA and RTADDR are latched, all while TE and IRE are on", () => {
    // The first kernel: queue, remapping, translation; a network card that keeps running.
    const guest = new Guest();
    guest.enableQueue();
    const firstTable = guest.setInterruptTable(15, true);
    guest.put128(firstTable + 16n, IRTE(0x31n), 0n);
    guest.command(Gcmd.IRE);
    guest.enableTranslation(NIC).map(0x10_0000n, 0x50_0000n);
    expect(guest.flush([0x4n, 0n])).toBe(true);
    expect(guest.dma(NIC, 0x10_0000n, Access.WRITE).gpa).toBe(0x50_0000n);

    // It crashes with a descriptor in the queue that nobody will look after, and a fault pending.
    guest.dma(NIC, 0x20_0000n);
    guest.submit([0xfn, 0n]);
    expect(guest.read32(Reg.FSTS) & 0x12).toBe(0x12);

    // The second kernel: the queue first. Translation and remapping stay on.
    const gsts = guest.command(Gcmd.QIE, false);
    expect(gsts & (Gcmd.QIE | Gcmd.TE | Gcmd.IRE)).toBe(Gcmd.TE | Gcmd.IRE | 0);
    expect(guest.read64(Reg.IQH)).toBe(0n);
    guest.write32(Reg.FSTS, 0x70);
    guest.enableQueue();
    expect(guest.read32(Reg.GSTS) & Gcmd.QIE).not.toBe(0);
    expect(guest.flush([0x1n | (1n << 4n), 0n], [0x12n, 0n], [0x4n, 0n])).toBe(true);

    // It copies the old tables, then switches to the copies: the card never notices.
    const copiedIrt = guest.alloc(256);
    for (let i = 0n; i < 64n; i += 1n) {
      guest.put64(copiedIrt + i * 8n, guest.get64(firstTable + i * 8n));
    }
    guest.setInterruptTable(15, true, copiedIrt);
    const oldRoot = guest.read64(Reg.RTADDR);
    const oldContexts = guest.get64(oldRoot) & ~0xfffn;
    const [newRoot, newContexts] = [guest.alloc(), guest.alloc()];
    for (let i = 0n; i < 512n; i += 1n) {
      guest.put64(newContexts + i * 8n, guest.get64(oldContexts + i * 8n));
    }
    guest.put128(newRoot, newContexts | 1n, 0n);
    guest.setRootTable(newRoot);
    expect(guest.flush([0x1n | (1n << 4n), 0n], [0x12n, 0n], [0x4n, 0n])).toBe(true);
    expect(guest.read32(Reg.GSTS) & (Gcmd.TE | Gcmd.IRE)).toBe(Gcmd.TE | Gcmd.IRE | 0);
    expect(guest.dma(NIC, 0x10_0abcn, Access.WRITE).gpa).toBe(0x50_0abcn);
    expect(guest.msi(NIC, guest.handle(1)).data).toBe(0x4031);

    // The old tables are memory again: nothing the first kernel left has an effect.
    for (let i = 0n; i < 512n; i += 1n) guest.put64(oldRoot + i * 8n, 0n);
    guest.put128(firstTable + 16n, 0n, 0n);
    expect(guest.dma(NIC, 0x10_0000n, Access.WRITE).result).toBe(0);
    expect(guest.msi(NIC, guest.handle(1)).result).toBe(0);

    // Its driver gives the card new entries, its fault handler clears what the first kernel left.
    guest.put128(copiedIrt + 16n, IRTE(0x77n), 0n);
    expect(guest.flush([0x14n | (1n << 32n), 0n])).toBe(true);
    expect(guest.msi(NIC, guest.handle(1)).data).toBe(0x4077);
    guest.takeFaults();
    expect(guest.read32(Reg.FSTS) & 0xff).toBe(0);
  });
});
