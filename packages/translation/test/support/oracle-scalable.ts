import { FaultReason } from "@viommu/vtd-spec";
import { bit, Blocked, field, inInterruptRange, ones, readEntry } from "./oracle.ts";
import type { Page, Passage } from "./oracle.ts";
import { translateFirstStage } from "./oracle-first-stage.ts";
import { permittedPage } from "./oracle-host-permission.ts";
import { translateSecondStage } from "./oracle-scalable-second-stage.ts";

/*
 * Scalable mode of the slow model: VT-d 3.4.3, 4.2.5, 9.2 to 9.6, the conditions SRT, SCT, SPD, SPT
 * and SGN of 7.1.3. Whole entries as bigints; nothing is cached.
 */

/** Reserved bits of a field that is there only with a capability. */
const unless = (capability: number, high: number, low: number): bigint =>
  capability !== 0 ? 0n : ones(high, low);

export function scalableMode(passage: Passage): Page {
  const { world, ask } = passage;
  const { capabilities: cap, hostAddressWidth: haw } = world;
  const withPasid = ask.pasid >= 0;
  if (withPasid && world.majorVersion >= 8 && (ask.access & 4) !== 0) {
    throw new Blocked(FaultReason.EXECUTE_REQUESTED, false);
  }
  if (withPasid && ask.pasid > 2 ** (cap.PSS + 1) - 1) {
    throw new Blocked(FaultReason.PASID_BEYOND_PSS);
  }
  const context = readContext(passage);
  // 4.2.5: without HPTE, the PASID table has no say in translated requests
  const isTranslated = ask.addressType === 2;
  if (isTranslated && !bit(context, 5)) return untranslated(passage);

  const pasid = withPasid ? BigInt(ask.pasid) : field(context, 83, 64);
  const privileged = withPasid ? (ask.access & 8) !== 0 : bit(context, 84);
  const entry = readPasidEntry(passage, field(context, 63, 12) << 12n, pasid);

  const type = field(entry, 8, 6);
  const usesFirst = type === 1n || type === 3n;
  const usesSecond = type === 2n || type === 3n;
  const offered = [0, cap.FSTS, cap.SSTS, cap.NEST, cap.PT, 0, 0, 0][Number(type)];
  const aw = Number(field(entry, 4, 2));
  const width = Math.min(cap.MGAW + 1, 30 + 9 * aw);
  const fsRoot = field(entry, 191, 140) << 12n;
  const fspm = field(entry, 131, 130);
  const invalid =
    offered === 0 ||
    (usesSecond && (![1, 2, 3].includes(aw) || ((cap.SAGAW >> aw) & 1) === 0)) ||
    (usesFirst && (fspm > 1n || (fspm === 1n && cap.FS5LP === 0))) ||
    (type === 3n && fsRoot >> BigInt(width) !== 0n);
  if (invalid) throw new Blocked(FaultReason.PASID_ENTRY_INVALID);
  if (isTranslated) {
    const width = 49n + field(entry, 257, 256);
    if (ask.address >> width !== 0n) throw new Blocked(FaultReason.HPT_ADDRESS_BEYOND_SIZE);
    return permittedPage(passage, untranslated(passage), field(entry, 319, 268) << 12n);
  }
  if (withPasid && (ask.access & 4) !== 0) {
    throw new Blocked(FaultReason.PASID_ENTRY_EXECUTE_BLOCKED);
  }
  if (privileged && !bit(entry, 128)) throw new Blocked(FaultReason.PASID_ENTRY_SUPERVISOR_BLOCKED);

  // conditions S.1 and S.2: the answer doesn't depend on the tables behind
  if (ask.addressType === 1 && !withPasid && inInterruptRange(ask.address)) {
    return { out: 0n, shift: 12n, read: false, write: false };
  }
  const snoops = bit(entry, 87);
  const second = {
    root: field(entry, 63, 12) << 12n,
    levels: aw + 2,
    width,
    flags: bit(entry, 9),
    snoops,
    fields: { haw, io: world.ssirwe && cap.SSIRWS !== 0 },
  };
  let page: Page;
  if (type === 4n) {
    page = untranslated(passage);
  } else if (type === 2n) {
    page = translateSecondStage(passage, second, ask.address, "request");
    if (inInterruptRange(page.out)) throw new Error("the walk lets it through");
  } else {
    page = translateFirstStage(passage, {
      root: fsRoot,
      levels: fspm === 1n ? 5 : 4,
      privileged,
      writeProtect: bit(entry, 132),
      extended: bit(entry, 135),
      snoops,
      second: type === 3n ? second : null,
    });
  }
  return { ...page, snoop: page.snoop === true || bit(entry, 88) };
}

/** Pass-through, and translated requests. */
function untranslated({ world, ask }: Passage): Page {
  const { address } = ask;
  if (address >> BigInt(world.hostAddressWidth) !== 0n)
    throw new Blocked(FaultReason.SM_HOST_WIDTH);
  if (inInterruptRange(address)) throw new Blocked(FaultReason.SM_OUTPUT_IN_INTERRUPT_RANGE);
  return { out: address, shift: 30n, read: true, write: true, bypass: true };
}

function readContext(passage: Passage): bigint {
  const { world, ask } = passage;
  const { capabilities: cap, hostAddressWidth: haw } = world;
  const root = readEntry(
    passage,
    world.root + 16n * BigInt(ask.sourceId >> 8) + ((ask.sourceId & 0x80) !== 0 ? 8n : 0n),
    1,
  );
  if (root === null) throw new Blocked(FaultReason.SM_ROOT_ACCESS, false);
  if (!bit(root, 0)) throw new Blocked(FaultReason.SM_ROOT_NOT_PRESENT, false);
  if ((root & (ones(11, 1) | ones(63, haw))) !== 0n) {
    throw new Blocked(FaultReason.SM_ROOT_RESERVED, false);
  }
  const at = (field(root, 63, 12) << 12n) + 32n * BigInt(ask.sourceId & 0x7f);
  const context = readEntry(passage, at, 4);
  if (context === null) throw new Blocked(FaultReason.SM_CONTEXT_ACCESS, false);
  passage.fpd = bit(context, 1);
  if (!bit(context, 0)) throw new Blocked(FaultReason.SM_CONTEXT_NOT_PRESENT);
  const reserved =
    ones(255, 85) |
    unless(cap.RPRIVS, 84, 84) |
    unless(cap.RPS, 83, 64) |
    ones(63, haw) |
    ones(8, 7) |
    unless(cap.PTRS, 6, 6) |
    unless(cap.HPTS, 5, 5) |
    unless(cap.PRS, 4, 4) |
    unless(cap.PASID, 3, 3) |
    unless(cap.DT, 2, 2);
  if ((context & reserved) !== 0n) throw new Blocked(FaultReason.SM_CONTEXT_RESERVED);
  const [dte, paside, pre, eptr] = [2, 3, 4, 6].map((index) => bit(context, index));
  const limit = 1n << (field(context, 11, 9) + 13n);
  const ridPasid = field(context, 83, 64);
  // table 30, SCT.4.3: "NA" for untranslated requests and translation requests with PASID
  const eptrCounts = ask.pasid < 0 || ask.addressType === 2;
  if ((!dte! && pre!) || ridPasid >= limit || (eptr! && !paside! && eptrCounts)) {
    throw new Blocked(FaultReason.SM_CONTEXT_INVALID);
  }
  if (ask.addressType !== 0 && !dte!) throw new Blocked(FaultReason.SM_DEVICE_TLB_DISABLED);
  if (ask.pasid < 0) return context;
  if (ask.addressType === 2 && !eptr!) throw new Blocked(FaultReason.SM_TRANSLATED_PASID_DISABLED);
  if (ask.addressType !== 2 && !paside!) throw new Blocked(FaultReason.SM_PASID_DISABLED);
  if (BigInt(ask.pasid) === ridPasid) throw new Blocked(FaultReason.SM_PASID_IS_RID_PASID);
  if (BigInt(ask.pasid) >= limit) throw new Blocked(FaultReason.SM_PASID_BEYOND_DIR);
  return context;
}

function readPasidEntry(passage: Passage, directory: bigint, pasid: bigint): bigint {
  const { capabilities: cap, hostAddressWidth: haw } = passage.world;
  const dir = readEntry(passage, directory + 8n * (pasid >> 6n), 1);
  if (dir === null) throw new Blocked(FaultReason.PASID_DIR_ACCESS, false);
  if (bit(dir, 1)) passage.fpd = true;
  if (!bit(dir, 0)) throw new Blocked(FaultReason.PASID_DIR_NOT_PRESENT);
  if ((dir & (ones(11, 2) | ones(63, haw))) !== 0n) {
    throw new Blocked(FaultReason.PASID_DIR_RESERVED);
  }
  const entry = readEntry(passage, (field(dir, 63, 12) << 12n) + 64n * (pasid & 63n), 8);
  if (entry === null) throw new Blocked(FaultReason.PASID_ENTRY_ACCESS, false);
  if (bit(entry, 1)) passage.fpd = true;
  if (!bit(entry, 0)) throw new Blocked(FaultReason.PASID_ENTRY_NOT_PRESENT);
  const onlyWithout = [1n, 4n].includes(field(entry, 8, 6));
  const reserved =
    ones(511, 336) |
    ones(335, 320 + 4 + 2 * cap.ND) |
    ones(319, 256 + haw) |
    unless(cap.HPTS, 335, 268) |
    ones(267, 259) |
    unless(cap.HPTS, 258, 256) |
    ones(255, 192) |
    ones(191, 128 + haw) |
    unless(cap.FSTS, 191, 140) |
    ones(139, 136) |
    unless(cap.EAFS, 135, 135) |
    unless(cap.FSTS, 132, 130) |
    ones(129, 129) |
    unless(cap.SRS, 128, 128) |
    unless(cap.MTS, 127, 96) |
    ones(95, 91) |
    unless(cap.MTS, 90, 89) |
    unless(cap.SC, 88, 88) |
    unless(cap.SMPWCS, 87, 87) |
    ones(86, 80) |
    ones(79, 64 + 4 + 2 * cap.ND) |
    ones(63, haw) |
    unless(cap.SSTS, 63, 12) |
    ones(11, 10) |
    unless(cap.SSTS & cap.SSADS, 9, 9) |
    ones(5, 5) |
    (onlyWithout ? 0n : unless(cap.SSTS, 4, 2));
  if ((entry & reserved) !== 0n) throw new Blocked(FaultReason.PASID_ENTRY_RESERVED);
  return entry;
}
