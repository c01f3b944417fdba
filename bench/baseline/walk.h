// Page walks as loops over the levels, with the permission and reserved-bit checks of VT-d 3.7 and 3.8.
#pragma once
#include "guest.h"

#define LARGE_PAGE (UINT64_C(1) << 7)

enum { FAULT_WRITE = 5, FAULT_READ = 6, FAULT_ENTRY_ACCESS = 7, FAULT_RESERVED = 12 };

struct walk_result {
  uint64_t address;
  unsigned shift;
  unsigned granted;
};

// Bits that must be zero, by level: address bits above 48, and bit 7 where no large page exists.
static const uint64_t walk_reserved[6] = {
    0, UINT64_C(0x000f000000000000), UINT64_C(0x000f000000000000), UINT64_C(0x000f000000000000),
    UINT64_C(0x000f000000000080), UINT64_C(0x000f000000000080),
};

static inline unsigned level_shift(unsigned level) { return PAGE_SHIFT + 9 * (level - 1); }

static inline unsigned walk(const struct guest *guest, uint64_t root, unsigned levels, uint64_t address,
                            unsigned need, struct walk_result *result) {
  uint64_t table = root;
  unsigned granted = READ | WRITE;
  for (unsigned level = levels;; level--) {
    unsigned shift = level_shift(level);
    uint64_t entry;
    if (!guest_read64(guest, table + ((address >> shift & 511) << 3), &entry)) return FAULT_ENTRY_ACCESS;
    granted &= (unsigned)entry;
    if (need & ~granted) return need & ~granted & WRITE ? FAULT_WRITE : FAULT_READ;
    if (entry & walk_reserved[level]) return FAULT_RESERVED;
    if (level == 1 || entry & LARGE_PAGE) {
      uint64_t offset = (UINT64_C(1) << shift) - 1;
      result->address = (entry & FRAME_MASK & ~offset) | (address & offset);
      result->shift = shift;
      result->granted = granted;
      return 0;
    }
    table = entry & FRAME_MASK;
  }
}

// First-stage walk whose every table address, and whose result, goes through the second stage:
// 24 references with 4 levels on both sides, none cached.
static inline unsigned nested_walk(const struct guest *guest, uint64_t first_root, uint64_t second_root,
                                   uint64_t address, unsigned need, struct walk_result *result) {
  uint64_t table = first_root;
  for (unsigned level = 4;; level--) {
    unsigned shift = level_shift(level);
    uint64_t entry;
    unsigned fault = walk(guest, second_root, 4, table + ((address >> shift & 511) << 3), READ, result);
    if (fault) return fault;
    if (!guest_read64(guest, result->address, &entry)) return FAULT_ENTRY_ACCESS;
    // First-stage entries: bit 0 present, bit 1 writable, bit 2 user.
    if (!(entry & 1) || !(entry & 4)) return FAULT_READ;
    if ((need & WRITE) && !(entry & 2)) return FAULT_WRITE;
    if (entry & walk_reserved[level]) return FAULT_RESERVED;
    if (level == 1 || entry & LARGE_PAGE) {
      uint64_t offset = (UINT64_C(1) << shift) - 1;
      return walk(guest, second_root, 4, (entry & FRAME_MASK & ~offset) | (address & offset), need, result);
    }
    table = entry & FRAME_MASK;
  }
}
