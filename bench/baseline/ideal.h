// The ideal C loop: what a careful C programmer could reach. One thread, a direct-mapped IOTLB,
// the last page kept per device, invalidation by new tags.
#pragma once
#include <stdlib.h>

#include "walk.h"

struct ideal_entry {
  uint64_t page;
  uint64_t frame;
  uint32_t tag;
  uint8_t granted;
  uint8_t shift;
};

struct ideal_device {
  uint64_t root;
  unsigned levels;
  uint32_t tag;
  bool large_pages;
  struct ideal_entry last;
};

struct ideal {
  struct guest guest;
  struct ideal_entry *entries;
  uint64_t mask;
  uint32_t next_tag;
  unsigned device_count;
  struct ideal_device devices[];
};

static struct ideal *ideal_create(struct guest guest, const double *roots, unsigned count,
                                  unsigned levels, unsigned slots) {
  struct ideal *ideal = calloc(1, sizeof *ideal + count * sizeof ideal->devices[0]);
  ideal->guest = guest;
  ideal->entries = calloc(slots, sizeof *ideal->entries);
  ideal->mask = slots - 1;
  ideal->next_tag = 1;
  ideal->device_count = count;
  for (unsigned i = 0; i < count; i++) {
    ideal->devices[i].root = (uint64_t)roots[i];
    ideal->devices[i].levels = levels;
    ideal->devices[i].tag = ideal->next_tag++;
  }
  return ideal;
}

static inline struct ideal_entry *ideal_slot(struct ideal *ideal, uint32_t tag, uint64_t page) {
  return &ideal->entries[(page ^ (page >> 13) ^ tag * 0x9e3779b1u) & ideal->mask];
}

static __attribute__((noinline)) unsigned ideal_miss(struct ideal *ideal, struct ideal_device *device,
                                                     uint64_t address, unsigned need,
                                                     struct walk_result *result) {
  unsigned fault = walk(&ideal->guest, device->root, device->levels, address, need, result);
  if (fault) return fault;
  uint64_t page = address >> result->shift;
  if (result->shift != PAGE_SHIFT) device->large_pages = true;
  struct ideal_entry *entry = ideal_slot(ideal, device->tag, page);
  entry->page = page;
  entry->frame = result->address >> result->shift << result->shift;
  entry->tag = device->tag;
  entry->granted = (uint8_t)result->granted;
  entry->shift = (uint8_t)result->shift;
  device->last = *entry;
  return 0;
}

static inline bool ideal_hit(const struct ideal_entry *entry, const struct ideal_device *device,
                             uint64_t address, unsigned shift, unsigned need,
                             struct walk_result *result) {
  if (entry->page != address >> shift || entry->tag != device->tag || entry->shift != shift ||
      need & ~entry->granted)
    return false;
  result->address = entry->frame | (address & ((UINT64_C(1) << shift) - 1));
  result->shift = shift;
  result->granted = entry->granted;
  return true;
}

static inline unsigned ideal_translate(struct ideal *ideal, struct ideal_device *device,
                                       uint64_t address, unsigned need, struct walk_result *result) {
  if (ideal_hit(&device->last, device, address, PAGE_SHIFT, need, result)) return 0;
  struct ideal_entry *entry = ideal_slot(ideal, device->tag, address >> PAGE_SHIFT);
  if (ideal_hit(entry, device, address, PAGE_SHIFT, need, result)) {
    device->last = *entry;
    return 0;
  }
  if (device->large_pages) {
    entry = ideal_slot(ideal, device->tag, address >> level_shift(2));
    if (ideal_hit(entry, device, address, level_shift(2), need, result)) return 0;
  }
  return ideal_miss(ideal, device, address, need, result);
}

static inline void ideal_invalidate_domain(struct ideal *ideal, unsigned domain) {
  ideal->devices[domain].tag = ideal->next_tag++;
}

static inline void ideal_invalidate_global(struct ideal *ideal) {
  for (unsigned i = 0; i < ideal->device_count; i++) ideal_invalidate_domain(ideal, i);
}

static inline void ideal_invalidate_page(struct ideal *ideal, unsigned domain, uint64_t address,
                                         unsigned order) {
  struct ideal_device *device = &ideal->devices[domain];
  if (order > 6 || device->large_pages) {
    ideal_invalidate_domain(ideal, domain);
    return;
  }
  device->last.tag = 0;
  uint64_t page = address >> PAGE_SHIFT;
  for (uint64_t end = page + (UINT64_C(1) << order); page < end; page++) {
    struct ideal_entry *entry = ideal_slot(ideal, device->tag, page);
    if (entry->page == page && entry->tag == device->tag) entry->tag = 0;
  }
}
