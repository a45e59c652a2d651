"""What is known of every work item, feed and job, in the store."""
