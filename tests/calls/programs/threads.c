/* Mutexes, condition variables, barriers, thread-local data, join and detach: prints only what does not depend on
   the order in which threads run. */
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <errno.h>

#define THREADS 4
#define ROUNDS 200

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t filled = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t barrier;
static sem_t semaphore;
static long counter;
static int items, consumed;
static atomic_int serial;
static __thread int own;

static void *count(void *argument)
{
	own = (int)(long)argument;
	for (int i = 0; i < ROUNDS; i++) {
		pthread_mutex_lock(&mutex);
		counter++;
		pthread_mutex_unlock(&mutex);
	}
	if (pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD)
		atomic_fetch_add(&serial, 1);
	pthread_mutex_lock(&mutex);
	while (!items)
		pthread_cond_wait(&filled, &mutex);
	items--;
	consumed++;
	pthread_mutex_unlock(&mutex);
	sem_post(&semaphore);
	return (void *)(long)(own * 10);
}

int main(void)
{
	pthread_t threads[THREADS];
	void *result;
	long sum = 0;
	struct timespec soon;

	pthread_barrier_init(&barrier, 0, THREADS);
	sem_init(&semaphore, 0, 0);
	for (long i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], 0, count, (void *)(i + 1)))
			return 1;
	for (int i = 0; i < THREADS; i++) {
		pthread_mutex_lock(&mutex);
		items++;
		pthread_cond_signal(&filled);
		pthread_mutex_unlock(&mutex);
	}
	for (int i = 0; i < THREADS; i++)
		sem_wait(&semaphore);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], &result);
		sum += (long)result;
	}
	printf("counter %ld serial %d consumed %d sum %ld own %d\n", counter, serial, consumed, sum, own);
	clock_gettime(CLOCK_REALTIME, &soon);
	soon.tv_nsec += 1000000;
	if (soon.tv_nsec >= 1000000000) {
		soon.tv_nsec -= 1000000000;
		soon.tv_sec++;
	}
	pthread_mutex_lock(&mutex);
	printf("timed wait %d\n", pthread_cond_timedwait(&filled, &mutex, &soon) == ETIMEDOUT);
	return 0;
}
