import type { ConfigPath } from "./error.ts";
import type { Refuse, Rule } from "./rule.ts";
import { busAddressText } from "./values.ts";

/** Units, bridges, I/O APICs and devices are told apart by their names. */
export const checkNames: Rule = (guest, refuse: Refuse) => {
  const seen = new Map<string, string>();
  for (const section of ["units", "bridges", "ioapics", "devices"] as const) {
    guest[section].forEach(({ name }, i) => {
      const other = seen.get(name);
      if (other !== undefined) {
        refuse([section, i, "name"], `is the name of ${other} already`, "give each its own");
      }
      seen.set(name, `${section}[${i}]`);
    });
  }
};

/** A requester id belongs to one function; that of an I/O APIC is in the same space. */
export const checkBusAddresses: Rule = (guest, refuse: Refuse) => {
  const seen = new Map<string, string>();
  for (const section of ["bridges", "ioapics", "devices"] as const) {
    guest[section].forEach(({ name, address }, i) => {
      const place = busAddressText(address);
      const other = seen.get(place);
      if (other !== undefined) {
        refuse(
          [section, i, "address"],
          `is the bus address of "${other}" already`,
          "give each its own",
        );
      }
      seen.set(place, name);
    });
  }
};

/** I/O APICs are told apart by their ids, bridges by the buses behind them. */
export const checkNumbers: Rule = (guest, refuse: Refuse) => {
  const ids = new Map<number, string>();
  guest.ioapics.forEach(({ id, name }, i) => {
    const other = ids.get(id);
    if (other !== undefined) {
      refuse(["ioapics", i, "id"], `is the id of "${other}" already`, "give each its own");
    }
    ids.set(id, name);
  });
  const buses = new Map<string, string>();
  guest.bridges.forEach(({ name, address, buses: { first, last } }, i) => {
    const path: ConfigPath = ["bridges", i, "buses"];
    const own = address.sourceId >> 8;
    if (first <= own || last < first) {
      refuse(path, `do not lie behind bus ${own}`, "give buses with larger numbers, in order");
    }
    for (let bus = first; bus <= last; bus += 1) {
      const key = `${address.segment}:${bus}`;
      const other = buses.get(key);
      if (other !== undefined) {
        refuse(path, `has bus ${bus}, which is behind "${other}"`, "give each bridge its own");
      }
      buses.set(key, name);
    }
  });
  guest.bridges.forEach(({ address }, i) => {
    const other = buses.get(`${address.segment}:${address.sourceId >> 8}`);
    if (other === undefined) return;
    refuse(["bridges", i, "address"], `is behind "${other}"`, "put bridges on a bus of the root");
  });
};
