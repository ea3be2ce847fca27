/* work.c: a bounded queue and a few threads. The queue's lock is never held while a job runs. */
#include "picket/base/work.h"

#include <errno.h>
#include <pthread.h>

#include "picket/base/error.h"

struct work_pool {
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct list queue;
    unsigned queued, queue_max, n_threads;
    bool closing;
    pthread_t threads[];
};

static void *worker(void *arg)
{
    struct work_pool *pool = arg;
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        struct list *link = list_pop(&pool->queue);
        if (link) {
            pool->queued--;
            pthread_mutex_unlock(&pool->lock);
            struct work_job *job = container_of(link, struct work_job, link);
            job->run(job);
            job->finished(job);
            pthread_mutex_lock(&pool->lock);
        } else if (pool->closing) {
            break;
        } else {
            pthread_cond_wait(&pool->more, &pool->lock);
        }
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

int work_pool_open(unsigned threads, unsigned queue_max, struct work_pool **ret)
{
    struct work_pool *pool = calloc(1, sizeof *pool + threads * sizeof(pthread_t));
    if (!pool)
        return -ENOMEM;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->more, NULL);
    list_init(&pool->queue);
    pool->queue_max = queue_max;
    for (; pool->n_threads < threads; pool->n_threads++) {
        int r = pthread_create(&pool->threads[pool->n_threads], NULL, worker, pool);
        if (r != 0) {
            work_pool_close(pool);
            return -r;
        }
    }
    *ret = pool;
    return 0;
}

int work_submit(struct work_pool *pool, struct work_job *job)
{
    int r = 0;
    pthread_mutex_lock(&pool->lock);
    if (pool->closing || pool->queued >= pool->queue_max) {
        r = -ERR_BUSY;
    } else {
        list_push_back(&pool->queue, &job->link);
        pool->queued++;
        pthread_cond_signal(&pool->more);
    }
    pthread_mutex_unlock(&pool->lock);
    return r;
}

void work_pool_close(struct work_pool *pool)
{
    if (!pool)
        return;
    pthread_mutex_lock(&pool->lock);
    pool->closing = true;
    pthread_cond_broadcast(&pool->more);
    pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < pool->n_threads; i++)
        pthread_join(pool->threads[i], NULL);
    pthread_cond_destroy(&pool->more);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}
