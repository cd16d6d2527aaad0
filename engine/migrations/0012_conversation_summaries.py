from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise import fields

class Migration(migrations.Migration):
    dependencies = [('models', '0010_runs_of_user')]

    initial = False

    operations = [
        ops.CreateModel(
            name='ConversationSummary',
            fields=[
                ('id', fields.CharField(primary_key=True, unique=True, db_index=True, max_length=64)),
                ('conversation_id', fields.CharField(max_length=64)),
                ('run_id', fields.CharField(db_index=True, max_length=64)),
                ('version', fields.IntField()),
                ('until_run_id', fields.CharField(max_length=64)),
                ('until_turn', fields.IntField()),
                ('kept', fields.TextField(default='[]', unique=False)),
                ('messages', fields.IntField()),
                ('content', fields.TextField(unique=False)),
                ('model', fields.CharField(max_length=200)),
                ('created_at', fields.BigIntField()),
            ],
            options={'table': 'conversation_summaries', 'app': 'models', 'unique_together': (('conversation_id', 'version'),), 'pk_attr': 'id'},
            bases=['Model'],
        ),
    ]
