/** A blocked request, complete: no site that reports it can leave out its source or address. */
export interface FaultRecord {
  /** Fault reason (VT-d 7.1.3, appendix A). */
  readonly reason: number;
  readonly kind: "dma" | "interrupt" | "page-request";
  readonly sourceId: number;
  /** 20 bits, or NO_PASID. */
  readonly pasid: number;
  /** Bits of `Access`. */
  readonly access: number;
  /** One of `AddressType`. */
  readonly addressType: number;
  /** DMA: the address asked for. */
  readonly hi: number;
  readonly lo: number;
  /** Interrupt: index into the remapping table, or -1 where the request named none. */
  readonly index: number;
  /** True when FPD kept it out of the fault log. */
  readonly suppressed: boolean;
}

/** What an invalidation covered, after the unit's own caches have dropped it. */
export type Invalidation =
  | {
      readonly kind: "context";
      readonly granularity: "global" | "domain" | "device";
      readonly domainId: number;
      readonly sourceId: number;
      /** Bits of the function number that were ignored: 0, 4, 6 or 7. */
      readonly functionMask: number;
    }
  | {
      readonly kind: "iotlb";
      readonly granularity: "global" | "domain" | "page";
      readonly domainId: number;
      readonly hi: number;
      readonly lo: number;
      /** log2 of the number of 4 KiB pages. */
      readonly order: number;
      /** True: leaf entries only (IH = 1). */
      readonly leafOnly: boolean;
    }
  | {
      readonly kind: "pasid-cache";
      readonly granularity: "global" | "domain" | "pasid";
      readonly domainId: number;
      readonly pasid: number;
    }
  | {
      readonly kind: "pasid-iotlb";
      readonly granularity: "pasid" | "page";
      readonly domainId: number;
      readonly pasid: number;
      readonly hi: number;
      readonly lo: number;
      readonly order: number;
      readonly leafOnly: boolean;
    }
  | {
      readonly kind: "device-tlb";
      readonly sourceId: number;
      /** NO_PASID for the descriptor without PASID, ALL_PASIDS for all (GI = 1). */
      readonly pasid: number;
      readonly hi: number;
      readonly lo: number;
      /** log2 of the number of 4 KiB pages; 52 means everything. */
      readonly order: number;
    }
  | {
      readonly kind: "host-permission";
      readonly granularity: "global" | "domain" | "page";
      /** HPTDID: a domain of host permission tables. */
      readonly domainId: number;
      readonly hi: number;
      readonly lo: number;
      /** log2 of the number of 4 KiB pages. */
      readonly order: number;
      /** Entries of levels 1 to this one (IH), 1 to 4. */
      readonly levels: number;
    }
  | {
      readonly kind: "interrupt-entry";
      /** First entry and number of entries; all of them when `count` is 65536. */
      readonly index: number;
      readonly count: number;
    };

/** The modes in which a unit answers requests. */
export interface ModeChange {
  /** DMA remapping is on (GSTS.TES). */
  readonly translation: boolean;
  /** Interrupt remapping is on (GSTS.IRES). */
  readonly remapping: boolean;
  /** RTADDR in effect (what SRTP latched), its low and high word (VT-d 11.4.5). */
  readonly rootTable: readonly [low: number, high: number];
  /** IRTA in effect (what SIRTP latched), its low and high word (VT-d 11.4.12). */
  readonly interruptTable: readonly [low: number, high: number];
  /** What changed. */
  readonly cause:
    | "reset"
    | "restore"
    | "translation"
    | "remapping"
    | "root-table"
    | "interrupt-table"
    | "compatibility";
}

/** A request of a device for a page (PCI Express PRI). */
export interface PageRequest {
  readonly sourceId: number;
  readonly pasid: number;
  readonly hi: number;
  readonly lo: number;
  readonly access: number;
  /** Page request group index, 9 bits. */
  readonly group: number;
  readonly last: boolean;
}
