from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise import fields
from tortoise.indexes import Index

class Migration(migrations.Migration):
    dependencies = [('models', '0007_waits')]

    initial = False

    operations = [
        ops.CreateModel(
            name='BudgetWarning',
            fields=[
                ('id', fields.CharField(primary_key=True, unique=True, db_index=True, max_length=200)),
                ('created_at', fields.BigIntField()),
            ],
            options={'table': 'budget_warnings', 'app': 'models', 'indexes': [Index(fields=['created_at'], name='budget_warnings_by_age')], 'pk_attr': 'id'},
            bases=['Model'],
        ),
        ops.AddField(
            model_name='ModelCall',
            name='user_id',
            field=fields.CharField(null=True, max_length=64),
        ),
        ops.AddIndex(
            model_name='ModelCall',
            index=Index(fields=['run_id'], name='model_calls_by_run'),
        ),
        ops.AddIndex(
            model_name='ModelCall',
            index=Index(fields=['user_id', 'created_at'], name='model_calls_by_user'),
        ),
    ]
