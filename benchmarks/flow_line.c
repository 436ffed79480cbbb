/* A flow line with one server at each station, as an event list in C: a binary heap of what is due, linked lists of who waits.
   Jobs come with the gaps given and take the service times given, all in whole seconds. Writes when each job came and left. */
#include <stdint.h>
#include <stdlib.h>

typedef struct { int64_t time, order, job; } Due;

static inline int before(const Due *a, const Due *b) { return a->time < b->time || (a->time == b->time && a->order < b->order); }

static inline int64_t push(Due *heap, int64_t count, Due due) {
    int64_t place = count;
    while (place > 0) {
        int64_t above = (place - 1) / 2;
        if (!before(&due, heap + above)) break;
        heap[place] = heap[above];
        place = above;
    }
    heap[place] = due;
    return count + 1;
}

static inline int64_t pop(Due *heap, int64_t count) {
    Due last = heap[--count];
    int64_t place = 0;
    for (;;) {
        int64_t below = 2 * place + 1;
        if (below >= count) break;
        if (below + 1 < count && before(heap + below + 1, heap + below)) below++;
        if (!before(heap + below, &last)) break;
        heap[place] = heap[below];
        place = below;
    }
    heap[place] = last;
    return count;
}

int64_t flow_line(int64_t jobs, int64_t stations, const int64_t *gaps, const int64_t *services, int64_t *came, int64_t *left) {
    Due *heap = malloc((stations + 2) * sizeof *heap);
    int64_t *first = malloc(stations * sizeof *first), *last = malloc(stations * sizeof *last), *next = malloc(jobs * sizeof *next);
    int64_t *station = malloc(jobs * sizeof *station), *busy = calloc(stations, sizeof *busy);
    int64_t count = 0, order = 0, events = 0, gone = 0;
    for (int64_t s = 0; s < stations; s++) first[s] = -1;
    count = push(heap, count, (Due){gaps[0], order++, 0});
    station[0] = -1;
    while (gone < jobs) {
        int64_t now = heap[0].time, job = heap[0].job, s = station[job];
        count = pop(heap, count);
        events++;
        if (s < 0) {
            came[job] = now;
            if (job + 1 < jobs) {
                station[job + 1] = -1;
                count = push(heap, count, (Due){now + gaps[job + 1], order++, job + 1});
            }
        } else {
            int64_t waiting = first[s];
            busy[s] = waiting >= 0;
            if (waiting >= 0) {
                first[s] = next[waiting];
                count = push(heap, count, (Due){now + services[waiting * stations + s], order++, waiting});
            }
        }
        if (++s == stations) {
            left[job] = now;
            gone++;
            continue;
        }
        station[job] = s;
        if (!busy[s]) {
            busy[s] = 1;
            count = push(heap, count, (Due){now + services[job * stations + s], order++, job});
        } else {
            next[job] = -1;
            if (first[s] < 0) first[s] = job; else next[last[s]] = job;
            last[s] = job;
        }
    }
    free(heap); free(first); free(last); free(next); free(station); free(busy);
    return events;
}
