import { ViommuError } from "@viommu/plugin";
import { copyFromCaller } from "./caller-memory.ts";
import { create } from "./create-op.ts";
import { destroy } from "./destroy-op.ts";
import { XenDomain } from "./domain.ts";
import type { DomainMachine } from "./domain.ts";
import { Errno } from "./errno.ts";
import { OpCall } from "./op-call.ts";
import { OpField, SubOp } from "./op-layout.ts";
import { query } from "./query-op.ts";
import { translate, translateBatch } from "./translate-op.ts";

/** Domain numbers from here on have meanings of their own (DOMID_FIRST_RESERVED). */
const FIRST_RESERVED = 0x7ff0;

/** What a sub-operation does, and who may issue it. */
interface SubOperation {
  readonly by: "control" | "model";
  run(this: void, call: OpCall, domain: XenDomain): number;
}

const SUB_OPERATIONS: Readonly<Record<number, SubOperation>> = {
  [SubOp.QUERY_CAPABILITIES]: { by: "model", run: query },
  [SubOp.CREATE]: { by: "control", run: create },
  [SubOp.DESTROY]: { by: "control", run: destroy },
  [SubOp.TRANSLATE]: { by: "model", run: translate },
  [SubOp.TRANSLATE_BATCH]: { by: "model", run: translateBatch },
  [SubOp.DRAINED]: { by: "model", run: drained },
};

/**
 * The domains of one host and their vIOMMUs: what stands behind the hypercall. It has no clock:
 * `advance` says what time it is, and `run` gives each domain its turn.
 */
export class ViommuRegistry {
  readonly #domains = new Map<number, XenDomain>();
  /** The domain whose turn comes first. */
  #turn = 0;

  /** Takes a domain in. Throws ERR_VIOMMU_XEN_DOMAIN for a number or a width that cannot be. */
  addDomain(machine: DomainMachine): XenDomain {
    const { domid, addressWidth = 48 } = machine;
    if (!Number.isInteger(domid) || domid < 0 || domid >= FIRST_RESERVED) {
      throw badDomain(domid, `give a number from 0 to ${FIRST_RESERVED - 1}`);
    }
    if (this.#domains.has(domid)) throw badDomain(domid, "it exists already: remove it first");
    if (!Number.isInteger(addressWidth) || addressWidth < 32 || addressWidth > 52) {
      throw badDomain(domid, `addressWidth is ${addressWidth}; give 32 to 52 bits`);
    }
    const domain = new XenDomain(machine);
    this.#domains.set(domid, domain);
    return domain;
  }

  /**
   * A domain ends, and its vIOMMUs with it, in use or not. Its devices reach nothing any more; frames
   * of their tables may be left for `domain.iommu.run` to give back.
   */
  removeDomain(domid: number): void {
    const domain = this.#domains.get(domid);
    if (domain === undefined) throw badDomain(domid, "there is none with this number");
    domain.iommu?.close();
    for (const hosted of [...domain.units]) {
      domain.forget(hosted);
      domain.remove(hosted);
    }
    this.#domains.delete(domid);
  }

  domain(domid: number): XenDomain | undefined {
    return this.#domains.get(domid);
  }

  /**
   * The hypercall: `caller` passes the address of a `struct viommu_op` in its memory. Returns 0 or a
   * negative {@link Errno}; an error leaves everything as it was, but for the part of a batch that
   * its `done` tells of. The caller's number comes from the host, so a wrong one throws
   * ERR_VIOMMU_XEN_DOMAIN.
   */
  viommuOp(caller: number, hi: number, lo: number): number {
    const domain = this.#domains.get(caller);
    if (domain === undefined) throw badDomain(caller, "there is none with this number");
    domain.counters.hypercalls += 1;
    const call = new OpCall(domain);
    const { memory } = domain.machine;
    if (!copyFromCaller(memory, hi, lo, call.bytes)) return -Errno.EFAULT;
    const result = this.#dispatch(call);
    return memory.writeBytes(hi, lo, call.bytes) ? result : -Errno.EFAULT;
  }

  /** One turn: every domain goes on with what its exits left over, within its budget. */
  run(): number {
    const domains = [...this.#domains.values()];
    this.#turn += 1;
    let done = 0;
    for (let i = 0; i < domains.length; i += 1) {
      const domain = domains[(i + this.#turn) % domains.length]!;
      done += domain.run(domain.limits.descriptorsPerTurn);
    }
    return done;
  }

  /** @param now milliseconds of a clock that does not go back */
  advance(now: number): void {
    for (const domain of this.#domains.values()) domain.faultEvents.advance(now);
  }

  #dispatch(call: OpCall): number {
    const { view, caller } = call;
    const operation = SUB_OPERATIONS[view.getUint32(OpField.CMD, true)];
    if (operation === undefined) return -Errno.ENOSYS;
    const target = this.#domains.get(view.getUint32(OpField.DOMID, true));
    // whoever may not ask does not learn which domains there are
    if (!mayAsk(caller, target, operation)) return -Errno.EPERM;
    if (target === undefined) return -Errno.ESRCH;
    if (target.limits.viommus === 0) return -Errno.ENOSYS;
    if (!call.isClear(OpField.PADDING, OpField.BODY)) return -Errno.EINVAL;
    return operation.run(call, target);
  }
}

function mayAsk(caller: XenDomain, target: XenDomain | undefined, { by }: SubOperation): boolean {
  if (caller.machine.control === true) return true;
  return by === "model" && target?.machine.deviceModel === caller.domid;
}

/** `viommu_op` drained. */
function drained(call: OpCall, domain: XenDomain): number {
  const { view, caller } = call;
  if (!call.isClear(OpField.DRAINED.TICKET + 4)) return -Errno.EINVAL;
  const ticket = view.getUint32(OpField.DRAINED.TICKET, true);
  const viommuId = view.getUint32(OpField.VIOMMU_ID, true);
  return domain.drained(caller.domid, viommuId, ticket) ? 0 : -Errno.ENOENT;
}

function badDomain(domid: number, remedy: string): ViommuError {
  return new ViommuError("ERR_VIOMMU_XEN_DOMAIN", `domain ${domid}: ${remedy}`);
}
