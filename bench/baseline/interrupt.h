// Interrupt remapping (VT-d 5.1): the entry is read and checked for each message.
#pragma once
#include "guest.h"

struct remap_unit {
  struct guest guest;
  uint64_t table;
  uint32_t entries;
  uint64_t reserved_low; // by the unit's modes: no posting, xAPIC destinations
};

struct message {
  uint32_t address;
  uint32_t upper;
  uint32_t data;
};

enum { IR_RESERVED = 0x20, IR_INDEX = 0x21, IRTE_ABSENT = 0x22, IRTE_ACCESS = 0x23, IRTE_RESERVED = 0x24,
       IR_COMPATIBILITY = 0x25, IR_SOURCE = 0x26 };

static inline bool source_matches(uint64_t high, unsigned source_id) {
  static const uint16_t ignored[4] = {0, 4, 6, 7};
  unsigned sid = high & 0xffff;
  switch (high >> 18 & 3) {
    case 0: return true;
    case 1: return ((sid ^ source_id) & ~ignored[high >> 16 & 3] & 0xffff) == 0;
    case 2: return source_id >> 8 >= sid >> 8 && source_id >> 8 <= (sid & 0xff);
    default: return false;
  }
}

static __attribute__((noinline)) unsigned remap(const struct remap_unit *unit, unsigned source_id,
                                                uint32_t address, uint32_t data, struct message *out) {
  if (!(address & 0x10)) return IR_COMPATIBILITY;
  uint32_t index = (address >> 5 & 0x7fff) | (address << 13 & 0x8000);
  if (address & 8) {
    if (data >> 16) return IR_RESERVED;
    index += data & 0xffff;
  }
  if (index >= unit->entries) return IR_INDEX;
  uint64_t low, high;
  if (!guest_read64(&unit->guest, unit->table + index * 16u, &low) ||
      !guest_read64(&unit->guest, unit->table + index * 16u + 8, &high))
    return IRTE_ACCESS;
  if (!(low & 1)) return IRTE_ABSENT;
  if (low & unit->reserved_low || high >> 20 || (high >> 18 & 3) == 3) return IRTE_RESERVED;
  if (!source_matches(high, source_id)) return IR_SOURCE;
  out->address = 0xfee00000u | (uint32_t)(low >> 40 & 0xff) << 12 | (uint32_t)(low & 8) | (uint32_t)(low & 4);
  out->upper = 0;
  out->data = (uint32_t)(low >> 16 & 0xff) | (uint32_t)(low >> 5 & 7) << 8 | 1u << 14 |
              (uint32_t)(low >> 4 & 1) << 15;
  return 0;
}

// The message that an I/O APIC sends for a redirection entry in remappable format (VT-d 5.1.2.1).
static inline void ioapic_message(uint64_t rte, uint32_t *address, uint32_t *data) {
  uint32_t index = (uint32_t)(rte >> 49 & 0x7fff);
  *address = 0xfee00010u | index << 5 | (uint32_t)(rte >> 11 & 1) << 2;
  *data = (uint32_t)(rte & 0xff);
}
